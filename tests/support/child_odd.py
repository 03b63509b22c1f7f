"""A target for the tests of `worker.py`: standard library only, so that it starts in no time."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

HERE = str(Path(__file__).resolve())


class Odd:
    """Behaves as it is told."""

    def __init__(self, memory, fail=None, note=None):
        self.info = {"answer": 42}
        self._memory = memory
        self._note = note
        if fail == "refuse":
            raise OSError("no such device")
        if fail == "hang":
            self.hang()

    def echo(self, **arguments):
        return arguments

    def fill(self, size, value):
        self._memory.view(size)[:] = bytes([value]) * size

    def add_one(self, size):
        view = self._memory.view(size)
        view[:] = bytes(value + 1 for value in view)

    def abort(self):
        os.write(2, b"first line\nUSB transfer failed\n\n")
        os.abort()

    def leave(self, status):
        os._exit(status)

    def signal_itself(self, number):
        os.kill(os.getpid(), number)

    def hang(self):
        while True:
            signal.pause()

    def refuse(self):
        raise OSError("the device is busy")

    def fault(self):
        raise KeyError("x")

    def unspeakable(self):
        return {"value": {1, 2}}

    def babble(self, text):
        for path in list(Path("/proc/self/fd").iterdir()):
            try:
                socket.socket(fileno=os.dup(int(path.name))).send(text.encode())
            except OSError:
                continue

    def chatter(self, size, end):
        os.write(1, b"x" * size + end.encode())

    def shrink(self):
        os.ftruncate(self._memory._descriptor, 0)

    def mute(self):
        os.close(1)
        os.close(2)

    def hang_up(self):
        os.closerange(0, 100)
        self.hang()

    def environment(self, name):
        return {"value": os.environ.get(name)}

    def path(self):
        return {"value": sys.path}

    def close(self):
        if self._note:
            Path(self._note).write_text("closed")
