"""A running child process as its parent holds it, and the children that could not be killed."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fcntl import F_ADD_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, fcntl

from edge_fer.process import child
from edge_fer.process.child import Memory

OUTPUT_BYTES = 4096
"""So much of the end of a child's output is kept."""

_abandoned: list[subprocess.Popen[bytes]] = []
_lock = threading.Lock()  # guards the list, which workers in several threads use


def abandon(process: subprocess.Popen[bytes]) -> None:
    """Note a child that survived SIGKILL."""
    with _lock:
        _abandoned.append(process)


def abandoned() -> int:
    """How many children of this process survived SIGKILL and still exist."""
    with _lock:
        _abandoned[:] = [process for process in _abandoned if process.poll() is None]
        return len(_abandoned)


class RunningChild:
    """A running child process, and the parent's ends of the socket, the pipe and the memory that connect to it.

    Args:
        python: path of the interpreter.
        environment: see `edge_fer.process.worker.Worker`.
        inherit: see `edge_fer.process.worker.Worker`.

    Attributes:
        process: the process.
        channel: the socket for requests and replies.
        stderr: file descriptor of the pipe with the child's output.
        memory: the shared memory.
        poller: waits for the socket and the pipe.

    Raises:
        OSError: when it cannot be started.
    """

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
            # Else a faulty child could crash its parent with SIGBUS, or keep it from using the memory.
            fcntl(shared, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL)
            self.process = subprocess.Popen(
                [python, "-I", child.__file__, str(far_end.fileno()), str(shared), str(os.getpid())],
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
        """The end of the output that the child wrote since the last call."""
        output = b""
        try:
            while piece := os.read(self.stderr, 65536):
                output = (output + piece)[-OUTPUT_BYTES:]
        except BlockingIOError:
            pass  # that is all for now
        return output

    def close(self) -> None:
        """Close the parent's ends."""
        self.channel.close()
        os.close(self.stderr)
        self.memory.close()


def exit_in_words(status: int) -> str:
    """How a process ended, in words.

    Args:
        status: its return code; below zero, the number of the signal that ended it.
    """
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:  # real-time signals have no name
        return f"was ended by signal {-status}"
