"""A supervised child process for foreign code that can block or crash.

    with Worker("edge_fer.capture.sources.v4l2.child:Camera", name="camera") as worker:
        info = worker.start(10.0, path="/dev/video0", ...)
        reply = worker.call("read", deadline_s=5.0)
        pixels = worker.memory(reply["stride"] * reply["height"])

The child is exec'd (never a fork of the threaded parent), gets one end of a socket pair and a
memfd, and serves one object of the target's class (`worker_child.py` says what that is).
Requests and replies are small JSON messages; arrays travel in the shared memory only.

Every call has one deadline. A child that misses it, or that crashes, is gone when the call
raises; `start` makes a new one (`backoff.py` tells when). A child that survives SIGKILL (stuck
in the kernel, state D) is abandoned and counted, never waited for.

The child dies with its parent: the kernel kills it when the *thread* that called `start` ends
(PR_SET_PDEATHSIG), and it leaves when the socket closes. So call `start` from a thread that
lives as long as the child should, and use one `Worker` from one thread at a time.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from fcntl import F_ADD_SEALS, F_SEAL_SHRINK, fcntl
from pathlib import Path
from typing import Any

from edge_fer.common.closeable import Closeable
from edge_fer.errors import WorkerCrashed, WorkerFailed, WorkerTimeout
from edge_fer.process import child as worker_child
from edge_fer.process.child import MESSAGE_BYTES, Memory

KILL_WAIT_S = 1.0
"""A child that lives so long after SIGKILL is abandoned."""

MAX_ABANDONED = 4
"""So many unkillable children at once are tolerated; no other is started before one of them ends."""

_SLICE_S = 0.1  # how often a waiting call looks whether it was cancelled
_LAST_WORDS_BYTES = 4096
_SHOWN_BYTES = 80  # of a message that is no reply

_abandoned: list[subprocess.Popen[bytes]] = []
_counting = threading.Lock()


def abandoned() -> int:
    """How many children of this process survived SIGKILL and still exist."""
    with _counting:
        _abandoned[:] = [process for process in _abandoned if process.poll() is None]
        return len(_abandoned)


class _Child:
    """A running child process and this side's ends of what connects to it."""

    def __init__(self, python: str, environment: Mapping[str, str | None], inherit: Sequence[int]) -> None:
        with ExitStack() as undo, ExitStack() as theirs:
            self.channel, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(self.channel.close)
            theirs.callback(far_end.close)
            self.stderr, write_end = os.pipe()
            undo.callback(os.close, self.stderr)
            theirs.callback(os.close, write_end)
            shared = os.memfd_create("edge-fer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            self.memory = Memory(shared)
            undo.callback(self.memory.close)
            fcntl(shared, F_ADD_SEALS, F_SEAL_SHRINK)  # else a child gone mad could SIGBUS its parent
            self.process = subprocess.Popen(
                [python, "-I", worker_child.__file__, str(far_end.fileno()), str(shared), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                pass_fds=(far_end.fileno(), shared, *inherit),
                env={name: value for name, value in {**os.environ, **environment}.items() if value is not None},
                start_new_session=True,
            )
            undo.pop_all()
        self.channel.setblocking(False)
        os.set_blocking(self.stderr, False)
        self.poller = select.poll()
        self.poller.register(self.channel, select.POLLIN)
        self.poller.register(self.stderr, select.POLLIN)

    def read_stderr(self) -> bytes:
        """The end of what the child wrote since the last time."""
        heard = b""
        try:
            while piece := os.read(self.stderr, 65536):
                heard = (heard + piece)[-_LAST_WORDS_BYTES:]
        except BlockingIOError:
            pass  # all there is, for now
        return heard

    def close(self) -> None:
        """Give back all that connects to the child."""
        self.channel.close()
        os.close(self.stderr)
        self.memory.close()


class Worker(Closeable):
    """A supervised child process; see the module's text.

    Args:
        target: `package.module:Class`, or `/path/to/file.py:Class` for an interpreter without edge-fer.
        name: how error messages call it.
        python: interpreter of the child. Our own by default, and then the child imports from
            where the parent does; any other uses its own packages only.
        environment: variables for the child beside the parent's own; null takes one of these away.
        inherit: descriptors that the child shall have too, under the same numbers.
        kill_wait_s: a child that lives so long after SIGKILL is abandoned; null: `KILL_WAIT_S`.
        cancelled: asked ten times a second during a call; when true, the call is given up like one
            that missed its deadline. Lets another thread end a long wait.
        clock: seconds, monotonic.

    Attributes:
        restarts: how often the child was started again.
        abandoned: how many of its children survived SIGKILL.
    """

    def __init__(
        self,
        target: str,
        *,
        name: str,
        python: str | None = None,
        environment: Mapping[str, str | None] | None = None,
        inherit: Sequence[int] = (),
        kill_wait_s: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._target = target
        self._python = python or sys.executable
        self._path = [] if python else [str(Path(entry).absolute()) for entry in sys.path]
        self._environment = dict(environment or {})
        self._inherit = inherit
        self._kill_wait_s = kill_wait_s
        self._cancelled = cancelled
        self._clock = clock
        self._child: _Child | None = None
        self._heard = b""
        self._starts = 0
        self.abandoned = 0

    @property
    def restarts(self) -> int:
        """How often a child was started after the first one."""
        return max(0, self._starts - 1)

    @property
    def pid(self) -> int | None:
        """Process id of the child; none without a child."""
        return self._child.process.pid if self._child else None

    @property
    def last_words(self) -> str:
        """The last line that the child wrote to stderr or stdout; empty when it wrote nothing."""
        if self._child:
            self._listen(self._child)
        lines = self._heard.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def start(self, deadline_s: float, **arguments: Any) -> dict[str, Any]:
        """Start a child, in the place of a former one, and build the target in it.

        Args:
            deadline_s: for both together, seconds.
            arguments: JSON values for the target's constructor.

        Returns:
            The target's `info`, or an empty dict.

        Raises:
            WorkerFailed: when the constructor raises; the child is gone then.
            WorkerCrashed: when the child ends, or cannot be started at all.
            WorkerTimeout: when it takes longer than the deadline.
        """
        self.kill()
        if abandoned() >= MAX_ABANDONED:
            raise WorkerCrashed(
                f"{self.name}: {MAX_ABANDONED} child processes are stuck in the kernel and cannot be killed; "
                "unplug the device or restart the machine"
            )
        self._heard = b""
        try:
            self._child = _Child(self._python, self._environment, self._inherit)
        except OSError as error:
            raise WorkerCrashed(f"{self.name}: cannot start a child process with {self._python}: {error}") from error
        self._starts += 1
        try:
            return self._call("start", deadline_s, {"target": self._target, "path": self._path, "arguments": arguments})
        except BaseException:
            self.kill()
            raise

    def call(self, method: str, /, *, deadline_s: float, **arguments: Any) -> dict[str, Any]:
        """Call a method of the target.

        Args:
            method: its name.
            deadline_s: seconds.
            arguments: JSON values.

        Returns:
            What it returned, JSON values.

        Raises:
            WorkerFailed: when the method raises; the child lives on.
            WorkerCrashed: when the child ends, or there is none, or what it says is no reply: it is killed.
            WorkerTimeout: when it does not answer within the deadline; the child is killed.
        """
        return self._call(method, deadline_s, arguments)

    def memory(self, size: int) -> memoryview:
        """The first `size` bytes shared with the child, growing the memory where needed.

        Raises:
            WorkerCrashed: when there is no child.
        """
        return self._require_child().memory.view(size)

    def kill(self) -> None:
        """End the child at once, whatever it does; without a child, nothing happens."""
        if self._child:
            self._child.process.kill()
            self._part()

    def close(self, deadline_s: float = 1.0) -> None:
        """Hang up, let the target close itself within the deadline, and kill it after that."""
        if self._child:
            self._child.channel.shutdown(socket.SHUT_RDWR)
            try:
                self._child.process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self._child.process.kill()
            self._part()

    def _call(self, method: str, deadline_s: float, arguments: dict[str, Any]) -> dict[str, Any]:
        child = self._require_child()
        request = json.dumps({"method": method, "arguments": arguments}).encode()
        if len(request) > MESSAGE_BYTES:
            raise ValueError(f"expected a request of at most {MESSAGE_BYTES} bytes, found {len(request)}; use `memory`")
        try:
            child.channel.send(request)
            answer = self._await(child, method, deadline_s)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
        if not answer:
            raise WorkerCrashed(self._obituary(child, method))
        reply = _parse(answer)
        if reply is None:
            self.kill()
            words = answer[:_SHOWN_BYTES].decode(errors="replace")
            raise WorkerCrashed(
                f"{self.name}: expected a reply to `{method}`, found {words!r}; the child process has gone mad and was "
                "killed"
            )
        if "error" in reply:
            raise WorkerFailed(reply["error"])
        result: dict[str, Any] = reply["result"]
        return result

    def _await(self, child: _Child, method: str, deadline_s: float) -> bytes:
        """The child's next message; empty when it hung up."""
        end = self._clock() + deadline_s
        while True:
            left = end - self._clock()
            if left <= 0 or self._cancelled():
                self.kill()
                why = f"no answer to `{method}` within {deadline_s:g} s" if left <= 0 else f"`{method}` was cancelled"
                raise WorkerTimeout(f"{self.name}: {why}; the child process was killed")
            ready = dict(child.poller.poll(math.ceil(min(left, _SLICE_S) * 1000)))
            if ready.get(child.stderr) == select.POLLHUP:
                child.poller.unregister(child.stderr)
            elif child.stderr in ready:
                self._listen(child)
            if child.channel.fileno() in ready:
                return child.channel.recv(MESSAGE_BYTES)

    def _listen(self, child: _Child) -> None:
        self._heard = (self._heard + child.read_stderr())[-_LAST_WORDS_BYTES:]

    def _obituary(self, child: _Child, method: str) -> str:
        """One line about a child that hung up, which is gone afterwards."""
        try:
            status = child.process.wait(self._patience_s)
            how = _exit_in_words(status)
        except subprocess.TimeoutExpired:
            how = "closed its connection"
        self._listen(child)
        self.kill()
        words = f"; it last said: {self.last_words}" if self.last_words else ""
        return f"{self.name}: the child process {how} during `{method}`{words}"

    def _part(self) -> None:
        """Reap a child that was told to end; abandon it when it does not."""
        child, self._child = self._require_child(), None
        self._listen(child)
        try:
            child.process.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            self.abandoned += 1
            with _counting:
                _abandoned.append(child.process)
        finally:
            child.close()

    @property
    def _patience_s(self) -> float:
        return KILL_WAIT_S if self._kill_wait_s is None else self._kill_wait_s

    def _require_child(self) -> _Child:
        if self._child is None:
            raise WorkerCrashed(f"{self.name}: expected a running child process, found none; start it first")
        return self._child


def _parse(answer: bytes) -> dict[str, Any] | None:
    """A child's reply; null when it is none."""
    try:
        reply = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(reply, dict) and ("error" in reply or isinstance(reply.get("result"), dict))
    return reply if whole else None


def _exit_in_words(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:  # real-time signals have no name
        return f"was ended by signal {-status}"
