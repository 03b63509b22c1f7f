"""A monitor for benchmarks: it looks back to the end of the warm-up, adds up, and can play a slower processor."""

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
        stretch: every stage but the reading of faces takes so many times as long as its thread works here; the rest is
            waited for within the stage, without using the processor. What other programs take from the processor
            meanwhile is not stretched. Each thread waits for itself, so a board is assumed to have a core for each of
            them, as all that are known do.
        clock: seconds that never go backwards.
        work: processor seconds of the thread that calls it.
        sleep: waits for so many seconds.

    Attributes:
        passes: how often each stage ran.
        seconds: that it took in all.
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
        self._stretch, self._now, self._work, self._sleep = stretch, clock, work, sleep

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one pass through a stage, stretched; see `Monitor.stage`."""
        start, worked = self._now(), self._work()
        with super().stage(name):
            yield
            if name != _ON_ACCELERATOR and self._stretch > 1:
                due = start + (self._work() - worked) * self._stretch
                self._sleep(max(0.0, due - self._now()))
        with self._adding:
            self.passes[name] += 1
            self.seconds[name] += self._now() - start

    def forget(self) -> None:
        """Start anew; see `Monitor.forget`."""
        super().forget()
        with self._adding:
            self.passes.clear()
            self.seconds.clear()
