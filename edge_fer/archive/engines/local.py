"""Processes of this machine, one task each at a time. One that dies takes only its own task with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from edge_fer.archive.engines import RETRIES, Done, Event, Told
from edge_fer.archive.engines.local_child import Frames
from edge_fer.archive.tasks import Failure, Outcome, Task
from edge_fer.common.closeable import Closeable

PATIENCE_S = 600.0
"""A worker that tells of nothing for so long is stuck: it is ended, and its task given to another."""

_STOP_S = 5.0


class _Given(NamedTuple):
    """A task, and how many workers have died of it."""

    task: Task
    deaths: int


class LocalEngine(Closeable):
    """See `edge_fer.archive.engines.Engine`.

    Args:
        workers: how many processes.
        patience_s: see `PATIENCE_S`.
        clock: a clock in seconds.
    """

    def __init__(
        self, workers: int, *, patience_s: float = PATIENCE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.slots = workers
        self._patience_s, self._clock = patience_s, clock
        self._waiting: deque[_Given] = deque()
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, _Given] = {}

    @property
    def workers(self) -> list[int]:
        """The ids of the processes that have a task."""
        return [worker.pid for worker in self._busy]

    def submit(self, task: Task) -> None:
        """Hand in a task; see `Engine.submit`."""
        self._waiting.append(_Given(task, 0))
        self._start()

    def wait(self, timeout_s: float) -> list[Event]:
        """What has happened; see `Engine.wait`."""
        by_connection = {worker.connection: worker for worker in self._busy}
        ready = wait(list(by_connection), timeout_s)
        events = [self._heard(by_connection[one]) for one in ready if isinstance(one, Connection)]
        stuck = [worker for worker in self._busy if self._clock() - worker.heard_at > self._patience_s]
        events += [self._lost(worker, f"it told of nothing for {self._patience_s:g} s") for worker in stuck]
        self._start()
        return [event for event in events if event is not None]

    def close(self) -> None:
        """End all processes."""
        for worker in (*self._busy, *self._idle):
            worker.end()
        self._busy.clear()
        self._idle.clear()

    def _start(self) -> None:
        """Give waiting tasks to workers that have none."""
        while self._waiting and len(self._busy) < self.slots:
            worker = self._idle.pop() if self._idle else _Worker()
            given = self._waiting.popleft()
            worker.heard_at = self._clock()
            self._busy[worker] = given
            worker.give(given.task)

    def _heard(self, worker: _Worker) -> Event | None:
        try:
            message: Frames | Outcome = worker.connection.recv()
        except (EOFError, OSError):
            return self._lost(worker, f"it ended with {worker.exit_code()}")
        worker.heard_at, task = self._clock(), self._busy[worker].task
        if isinstance(message, Frames):
            return Told(task, *message)
        del self._busy[worker]
        self._idle.append(worker)
        return Done(task, message)

    def _lost(self, worker: _Worker, why: str) -> Event | None:
        """Give the task of a worker that is no more to another one; an event when it has had enough of them."""
        task, deaths = self._busy.pop(worker)
        worker.end()
        if deaths < RETRIES:
            self._waiting.appendleft(_Given(task, deaths + 1))
            return None
        return Done(task, Failure("worker", f"the process that read it died {deaths + 1} times; the last time {why}"))


class _Worker:
    """A process that does one task after the other; started by exec, since a fork would copy the threads' locks.

    Attributes:
        connection: gives what it tells.
        heard_at: when it told something last, or was given something.
    """

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        command = [sys.executable, "-m", "edge_fer.archive.engines.local_child", str(theirs.fileno()), str(os.getpid())]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        theirs.close()
        self.heard_at = 0.0

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def give(self, task: Task) -> None:
        """Give it a task; where it is no more, that is found when its answers are read."""
        with suppress(OSError):
            self.connection.send(task)

    def exit_code(self) -> str:
        """How it ended, in words."""
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:  # it has closed its connection, and is stuck
            return "its connection closed"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """End it at once: whatever it writes takes its place only once it is whole."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in a driver or on a network disk
            self._process.wait(_STOP_S)
        self.connection.close()
