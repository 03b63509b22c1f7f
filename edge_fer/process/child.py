"""The child's side of `worker.py`: standard library only, for any Python >= 3.10.

Run as `python -I child.py SOCKET_FD MEMORY_FD PARENT_PID`. It imports nothing of edge-fer, so that a system interpreter
with vendor libraries can run it, too.

A target is a class. The child makes one instance of it and calls its methods:

    class Target:
        info: dict                          # optional; JSON values, returned by `Worker.start`
        def __init__(self, memory: Memory, **arguments): ...
        def method(self, **arguments) -> dict | None: ...    # JSON values in and out
        def close(self): ...                # optional; called when the parent closes the connection

Arrays are passed in `memory`. A target raises OSError for failures that it expects (a device that is missing, busy,
gone): the text reaches the parent as it is. Any other exception arrives with its type in front, and its traceback is
written to stderr.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

MESSAGE_BYTES = 65536
"""Longest request or reply."""

TEXT_LIMIT = 2000
"""Longest error text in a reply, characters."""


_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class Memory:
    """Bytes that parent and child share: a memfd that grows and never shrinks.

    A side that needs more room takes a larger view; the other side sees the growth with its own next view.

    Args:
        descriptor: the memfd's file descriptor, which this object owns from now on.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def view(self, size: int) -> memoryview:
        """The first bytes of the memory, writable; it grows where needed.

        Views that were taken earlier stay valid and show the same bytes.

        Args:
            size: how many bytes, at least one.
        """
        if self._map is None or len(self._map) < size:
            if os.fstat(self._descriptor).st_size < size:
                os.ftruncate(self._descriptor, size)
            self._map = mmap.mmap(self._descriptor, 0)  # the former map is freed with its last view
        return memoryview(self._map)[:size]

    def written(self, size: int) -> memoryview | None:
        """The first bytes of the memory; unlike `view` it never grows: None where there are fewer.

        Args:
            size: how many bytes, at least one.
        """
        return self.view(size) if size <= os.fstat(self._descriptor).st_size else None

    def close(self) -> None:
        """Close the descriptor; the memory itself is freed with the last view."""
        self._map = None
        os.close(self._descriptor)


def serve(channel: socket.socket, memory: Memory) -> None:
    """Answer requests until the parent closes the connection.

    Args:
        channel: a SOCK_SEQPACKET socket with one JSON object a message. A request is `{"method", "arguments"}`, a reply
            `{"result"}` or `{"error"}`; the first request's method is `start`.
        memory: the shared memory, for arrays.
    """
    target: Any = None
    while True:
        try:
            request = channel.recv(MESSAGE_BYTES)
        except ConnectionResetError:
            request = b""
        if not request:
            break
        message = json.loads(request)
        try:
            if message["method"] == "start":
                target = _build(memory, **message["arguments"])
                result = getattr(target, "info", None)
            else:
                result = getattr(target, message["method"])(**message["arguments"])
            reply = {"result": result or {}}
        except OSError as error:
            reply = {"error": str(error)[:TEXT_LIMIT]}
            if getattr(error, "refused", False):  # of any class: this module cannot be imported by its name here
                reply["refused"] = True
        except Exception as error:  # whatever foreign code raises is a reply, and does not end the child
            _print_traceback()
            reply = {"error": f"{type(error).__name__}: {error}"[:TEXT_LIMIT]}
        try:
            channel.send(json.dumps(reply).encode())
        except (BrokenPipeError, ConnectionResetError):
            break
    if hasattr(target, "close"):
        target.close()


def _print_traceback() -> None:
    import traceback  # imported only when needed: a camera that comes back waits for this module's imports

    traceback.print_exc()


def _build(memory: Memory, target: str, path: list[str], arguments: dict[str, Any]) -> Any:
    if path:
        sys.path[:] = path
    where, _, name = target.rpartition(":")
    if where.endswith(".py"):
        spec = spec_from_file_location("target", where)
        if spec is None or spec.loader is None:
            raise ImportError(f"expected a Python file, found {where}")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = import_module(where)
    return getattr(module, name)(memory, **arguments)


def _die_with(parent: int) -> None:
    """Let the kernel end this process when the parent's thread that started it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it had ended before the call above
        os._exit(1)


def main(socket_fd: int, memory_fd: int, parent: int) -> None:
    """Serve the parent.

    Only the parent ends this process: a terminal's Ctrl-C and systemd's SIGTERM to the whole group are handled by the
    parent.

    Args:
        socket_fd: the connection's file descriptor.
        memory_fd: the shared memory's file descriptor.
        parent: process id of the parent.
    """
    _die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash loop must not fill an SD card
    for descriptor in (socket_fd, memory_fd):
        os.set_inheritable(descriptor, False)
    with socket.socket(fileno=socket_fd) as channel:
        serve(channel, Memory(memory_fd))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
