"""The child's side of `worker.py`: standard library only, runnable by any Python >= 3.10.

Run as `python -I worker_child.py SOCKET_FD MEMORY_FD PARENT_PID`. It imports nothing of
edge-fer, so that a system interpreter with vendor libraries can run it as well as our own.

A target is a class that the child builds once and then serves:

    class Target:
        info: dict                          # optional; JSON values, the answer to `Worker.start`
        def __init__(self, memory: Memory, **arguments): ...
        def method(self, **arguments) -> dict | None: ...    # JSON values in and out
        def close(self): ...                # optional; called when the parent hangs up

Arrays travel in `memory`. A target raises OSError for failures that it expects (a device that
is missing, busy, gone): the text reaches the parent as it is. Any other exception arrives with
its type in front and leaves its traceback on stderr.
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
    """Bytes that parent and child both see: a memfd that grows and never shrinks.

    Whoever needs more room asks for a larger view; the other side sees the growth when it
    asks for its own next view.

    Args:
        descriptor: of the memfd; owned from here on.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def view(self, size: int) -> memoryview:
        """The first `size` bytes (at least one), writable, growing the memory where needed.

        Views taken earlier stay valid and show the same bytes.
        """
        if self._map is None or len(self._map) < size:
            if os.fstat(self._descriptor).st_size < size:
                os.ftruncate(self._descriptor, size)
            self._map = mmap.mmap(self._descriptor, 0)  # the former map goes with its last view
        return memoryview(self._map)[:size]

    def close(self) -> None:
        """Give the descriptor back; the memory itself goes with the last view."""
        self._map = None
        os.close(self._descriptor)


def serve(channel: socket.socket, memory: Memory) -> None:
    """Answer requests until the parent hangs up.

    Args:
        channel: SOCK_SEQPACKET; one JSON object a message. A request is `{"method", "arguments"}`,
            a reply `{"result"}` or `{"error"}`; the first request's method is `start`.
        memory: for arrays.
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
        except Exception as error:  # whatever foreign code raises is an answer, not the child's end
            _print_traceback()
            reply = {"error": f"{type(error).__name__}: {error}"[:TEXT_LIMIT]}
        try:
            channel.send(json.dumps(reply).encode())
        except (BrokenPipeError, ConnectionResetError):
            break
    if hasattr(target, "close"):
        target.close()


def _print_traceback() -> None:
    import traceback  # loaded only when needed: a camera that comes back waits for this module's imports

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
    """Have the kernel end this process when the parent's thread that started it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before the call above could tell
        os._exit(1)


def main(socket_fd: int, memory_fd: int, parent: int) -> None:
    """Serve the parent on the descriptors it handed over.

    Only the parent ends this process: a terminal's Ctrl-C and systemd's SIGTERM to the whole
    group are the parent's business.
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
