"""A process of this machine that does one task after the other; `local.py` starts it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import NamedTuple

from edge_fer.archive.tasks import Outcome, Task, perform
from edge_fer.common.memory import give_back, limit_arenas

_PR_SET_PDEATHSIG = 1


class Frames(NamedTuple):
    """What a worker tells now and then; see `edge_fer.archive.engines.Told`."""

    frames: int
    length: int | None


def main(descriptor: int, parent: int) -> None:
    """Do tasks until the other end is closed.

    Args:
        descriptor: of the connection to the parent.
        parent: the parent's process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends its workers
    _end_with(parent)
    limit_arenas()
    connection = Connection(descriptor)
    try:
        while True:
            task: Task = connection.recv()
            outcome: Outcome = perform(task, lambda *done: connection.send(Frames(*done)))
            connection.send(outcome)
            give_back()
    except (EOFError, BrokenPipeError):  # the parent has ended, and nobody waits for more
        return


def _end_with(parent: int) -> None:
    """Let the kernel end this process when its parent has ended, however that was."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    # Under its own name, so that what it pickles is known to the parent.
    from edge_fer.archive.engines.local_child import main as serve

    serve(int(sys.argv[1]), int(sys.argv[2]))
