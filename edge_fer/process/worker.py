"""A supervised child process for foreign code that may block or crash.

    with Worker("edge_fer.capture.sources.v4l2.child:Camera", name="camera") as worker:
        info = worker.start(10.0, path="/dev/video0", ...)
        frame = CameraFrame.of(worker.call("read", deadline_s=5.0))
        pixels = worker.written(frame.stride * frame.height)

The child is exec'd (never a fork of the threaded parent). It gets one end of a socket pair and a memfd, and serves one
object of the target's class (see `child.py`). Requests and replies are small JSON messages; arrays are passed in the
shared memory only. What a child answers is checked before it is used; see `reply.py`.

Every call has one deadline. A child that misses it, or that crashes, is gone when the call raises; `start` makes a new
one. A child that survives SIGKILL (stuck in the kernel, state D) is abandoned and counted, never waited for.

The child ends with its parent: the kernel kills it when the *thread* that called `start` ends (PR_SET_PDEATHSIG), and
it exits when the socket is closed. So call `start` in a thread that lives as long as the child should, and use a
`Worker` in one thread at a time.
"""

from __future__ import annotations

import json
import math
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_fer.common.closeable import Closeable
from edge_fer.common.text import printable
from edge_fer.errors import WorkerCrashed, WorkerFailed, WorkerRefused, WorkerTimeout
from edge_fer.process.child import MESSAGE_BYTES, TEXT_LIMIT
from edge_fer.process.running_child import OUTPUT_BYTES, RunningChild, abandon, abandoned, exit_in_words

KILL_WAIT_S = 1.0
"""A child that still exists so long after SIGKILL is abandoned, seconds."""

MAX_ABANDONED = 4
"""While so many abandoned children exist, no other child is started."""

_SLICE_S = 0.1  # a waiting call checks this often whether it was cancelled
_SHOWN_BYTES = 80  # of a message that is no reply


class Worker(Closeable):
    """A supervised child process; see the module's text.

    Args:
        target: `package.module:Class`, or `/path/to/file.py:Class` for an interpreter without edge-fer.
        name: the name for error messages.
        python: the child's interpreter. By default it is this process's, and then the child imports from the same
            folders; any other interpreter uses its own packages only.
        environment: environment variables for the child beside the parent's; a variable that is None is removed.
        inherit: file descriptors that the child gets, too, under the same numbers.
        kill_wait_s: a child that still exists so long after SIGKILL is abandoned, seconds.
        max_abandoned: while so many abandoned children exist in this process, no other is started.
        cancelled: called ten times a second during a call; once it returns true, the call ends like one that missed its
            deadline. Lets another thread end a long wait.
        clock: seconds that never go backwards.

    Attributes:
        name: the name for error messages.
        restarts: how often a child was started after the first one.
        abandoned: how many of this worker's children survived SIGKILL.
    """

    def __init__(
        self,
        target: str,
        *,
        name: str,
        python: str | None = None,
        environment: Mapping[str, str | None] | None = None,
        inherit: Sequence[int] = (),
        kill_wait_s: float = KILL_WAIT_S,
        max_abandoned: int = MAX_ABANDONED,
        cancelled: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._target = target
        self._python = python or sys.executable
        self._path = [] if python else [str(Path(entry).absolute()) for entry in sys.path]
        self._environment = dict(environment or {})
        self._inherit = inherit
        self._kill_wait_s, self._max_abandoned = kill_wait_s, max_abandoned
        self._cancelled = cancelled
        self._clock = clock
        self._child: RunningChild | None = None
        self._output = b""
        self._starts = 0
        self.abandoned = 0

    @property
    def restarts(self) -> int:
        """How often a child was started after the first one."""
        return max(0, self._starts - 1)

    @property
    def pid(self) -> int | None:
        """Process id of the child; None without a child."""
        return self._child.process.pid if self._child else None

    @property
    def last_output(self) -> str:
        """The last line that the child wrote to stderr or stdout; empty when it wrote nothing."""
        if self._child:
            self._read_output(self._child)
        lines = self._output.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def start(self, deadline_s: float, **arguments: Any) -> dict[str, Any]:
        """Start a child, in place of a former one, and make the target in it.

        Args:
            deadline_s: how long both may take together, seconds.
            arguments: JSON values for the target's constructor.

        Returns:
            The target's `info`, or an empty dict; see `Reply.of`.

        Raises:
            WorkerFailed: when the constructor raises; the child is gone then.
            WorkerCrashed: when the child ends, or cannot be started at all.
            WorkerTimeout: when it takes longer than the deadline.
        """
        self.kill()
        if abandoned() >= self._max_abandoned:
            raise WorkerCrashed(
                f"{self.name}: {self._max_abandoned} child processes are stuck in the kernel and cannot be killed; "
                "unplug the device or restart the machine"
            )
        self._output = b""
        try:
            self._child = RunningChild(self._python, self._environment, self._inherit)
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
            method: the method's name.
            deadline_s: how long it may take, seconds.
            arguments: JSON values for the method.

        Returns:
            What the method returned, JSON values; see `Reply.of`.

        Raises:
            WorkerFailed: when the method raises; the child goes on.
            WorkerCrashed: when the child ends or there is none; or when its message is no reply, and then it is killed.
            WorkerTimeout: when it does not answer within the deadline; the child is killed.
        """
        return self._call(method, deadline_s, arguments)

    def memory(self, size: int) -> memoryview:
        """The first bytes of the memory that is shared with the child; it grows where needed.

        Args:
            size: how many bytes.

        Raises:
            WorkerCrashed: when there is no child, or not so much memory.
        """
        child = self._require_child()
        try:
            return child.memory.view(size)
        except (OSError, MemoryError) as error:
            raise WorkerCrashed(f"{self.name}: expected {size} bytes of memory to share, found: {error}") from error

    def written(self, size: int) -> memoryview:
        """The first bytes that the child has written to the shared memory.

        Args:
            size: how many bytes, as the child says.

        Raises:
            WorkerCrashed: when there is no child, or the memory has fewer.
        """
        child = self._require_child()
        content = child.memory.written(size)
        if content is None:
            raise WorkerCrashed(f"{self.name}: expected {size} bytes in the shared memory, found fewer")
        return content

    def kill(self) -> None:
        """End the child at once, whatever it is doing; without a child, nothing happens."""
        if self._child:
            self._child.process.kill()
            self._reap()

    def close(self, deadline_s: float = 1.0) -> None:
        """Close the connection, and kill a child whose target does not close itself within the deadline.

        Args:
            deadline_s: how long that may take, seconds.
        """
        if self._child:
            self._child.channel.shutdown(socket.SHUT_RDWR)
            try:
                self._child.process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self._child.process.kill()
            self._reap()

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
            raise WorkerCrashed(self._end_crashed(child, method))
        reply = _parse(answer)
        if reply is None:
            self.kill()
            found = answer[:_SHOWN_BYTES].decode(errors="replace")
            raise WorkerCrashed(
                f"{self.name}: expected a reply to `{method}`, found {found!r}; the child process is faulty and was "
                "killed"
            )
        if "error" in reply:
            kind = WorkerRefused if reply.get("refused") is True else WorkerFailed
            raise kind(printable(reply["error"])[:TEXT_LIMIT])
        result: dict[str, Any] = reply["result"]
        return result

    def _await(self, child: RunningChild, method: str, deadline_s: float) -> bytes:
        """The child's next message; empty when it has closed the connection."""
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
                self._read_output(child)
            if child.channel.fileno() in ready:
                return child.channel.recv(MESSAGE_BYTES)

    def _read_output(self, child: RunningChild) -> None:
        self._output = (self._output + child.read_stderr())[-OUTPUT_BYTES:]

    def _end_crashed(self, child: RunningChild, method: str) -> str:
        """End a child that closed its connection; one line on how it ended."""
        try:
            status = child.process.wait(self._kill_wait_s)
            how = exit_in_words(status)
        except subprocess.TimeoutExpired:
            how = "closed its connection"
        self._read_output(child)
        self.kill()
        output = f"; its last output: {self.last_output}" if self.last_output else ""
        return f"{self.name}: the child process {how} during `{method}`{output}"

    def _reap(self) -> None:
        """Wait for a child that was told to end; abandon it when it does not end."""
        child, self._child = self._require_child(), None
        self._read_output(child)
        try:
            child.process.wait(self._kill_wait_s)
        except subprocess.TimeoutExpired:
            self.abandoned += 1
            abandon(child.process)
        finally:
            child.close()

    def _require_child(self) -> RunningChild:
        if self._child is None:
            raise WorkerCrashed(f"{self.name}: expected a running child process, found none; start it first")
        return self._child


def _parse(answer: bytes) -> dict[str, Any] | None:
    """A child's reply; None when the message is no reply."""
    try:
        reply = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(reply, dict) and (
        isinstance(reply["error"], str) if "error" in reply else isinstance(reply.get("result"), dict)
    )
    return reply if whole else None
