"""A monitor for benchmarks: it covers all time since the warm-up, and can simulate a slower processor."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_fer.status.monitor import Clock, Monitor

_ON_ACCELERATOR = "classify"


class BenchMonitor(Monitor):
    """Counts and times everything since it was made, or since `forget`.

    Args:
        stretch: every stage except the classification takes this many times its processor time, beside what it spends
            in `wait`; the stage waits for the rest, without using the processor. Time that other programs take from
            the processor is not stretched. Each thread waits for itself, so a board is assumed to have a core for
            each of them, as all known boards do.
        clock: a monotonic clock in seconds.
        work: processor time of the calling thread, seconds.
        sleep: waits for a number of seconds.

    Attributes:
        passes: how often each stage ran.
        seconds: total time of each stage, seconds.
    """

    def __init__(
        self,
        stretch: float = 1.0,
        clock: Clock = time.monotonic,
        work: Clock = time.thread_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(math.inf, clock)
        self.passes: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)
        self._adding = threading.Lock()
        self._waited = threading.local()
        self._stretch, self._now, self._work, self._sleep = stretch, clock, work, sleep

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one pass through a stage, stretched; see `Monitor.stage`."""
        start, worked, self._waited.seconds = self._now(), self._work(), 0.0
        with super().stage(name):
            yield
            if name != _ON_ACCELERATOR and self._stretch > 1:
                due = start + self._waited.seconds + (self._work() - worked) * self._stretch
                self._sleep(max(0.0, due - self._now()))
        with self._adding:
            self.passes[name] += 1
            self.seconds[name] += self._now() - start

    def wait(self, seconds: float) -> None:
        """Wait within a stage for what a slower processor would not have to do, such as an accelerator's answer."""
        self._sleep(seconds)
        self._waited.seconds += seconds

    def forget(self) -> None:
        """Start anew; see `Monitor.forget`."""
        super().forget()
        with self._adding:
            self.passes.clear()
            self.seconds.clear()
