"""How fast the loop turns, where its time goes, and how the box is."""

from __future__ import annotations

import ctypes
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from edge_fer.schema import StageTime

Clock = Callable[[], float]

STAGES = ("enhance", "keyframe", "follow", "detect", "track", "landmarks", "align", "classify")
"""In the order of the frame's way. Key frames are detected beside the others where the source is live."""

_TIME_ERROR = 5  # adjtimex(2): the system clock is not synchronized
_SAMPLES = 10_000  # kept of each stage at most, the newest: bounds the memory of a long window


class Monitor:
    """Counts frames and times stages over a sliding window; any thread may time a stage.

    Args:
        window_s: how far to look back, seconds.
        clock: seconds that never go backwards.
    """

    def __init__(self, window_s: float, clock: Clock = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._lock = threading.Lock()
        self._degraded_s = 0.0
        self._degraded_since: float | None = None
        self._ticks: deque[float] = deque(maxlen=_SAMPLES)
        self._stages: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=_SAMPLES))
        self._first: dict[str, tuple[float, float]] = {}

    def tick(self) -> None:
        """Count one finished frame."""
        self._ticks.append(self._clock())

    def fps(self) -> float:
        """Frames a second: (n - 1) / (last - first) within the window, 0 with fewer than two frames."""
        while self._ticks and self._ticks[0] < self._clock() - self._window_s:
            self._ticks.popleft()
        if len(self._ticks) < 2 or self._ticks[-1] == self._ticks[0]:
            return 0.0
        return (len(self._ticks) - 1) / (self._ticks[-1] - self._ticks[0])

    def degraded_s(self, *, degraded: bool) -> float:
        """Seconds spent degraded since the start; what was told last held until now.

        Args:
            degraded: how it is from now on.
        """
        now = self._clock()
        if self._degraded_since is not None:
            self._degraded_s += now - self._degraded_since
        self._degraded_since = now if degraded else None
        return self._degraded_s

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one pass through a stage."""
        start = self._clock()
        yield
        end = self._clock()
        with self._lock:
            if name in self._first:
                samples = self._stages[name]
                samples.append((end, end - start))
                while samples[0][0] < end - self._window_s:
                    samples.popleft()
            else:
                self._first[name] = (end, end - start)

    def forget(self) -> None:
        """Start anew: what was counted and timed so far no longer counts, as after a warm-up."""
        self._ticks.clear()
        with self._lock:
            self._stages.clear()
            self._first.clear()

    def stage_times(self) -> dict[str, StageTime]:
        """Latency of each stage that ran within the window, in the order of `STAGES`; first passes are told apart."""
        since = self._clock() - self._window_s
        with self._lock:
            stages = {name: (self._first[name], list(self._stages[name])) for name in STAGES if name in self._first}
        times = {}
        for name, (first, others) in stages.items():
            warm = [seconds for end, seconds in others if end >= since]
            cold = [first[1]] if first[0] >= since else []
            if warm or cold:
                p50, p95, p99, first_ms = (
                    round(float(seconds) * 1e3, 2) for seconds in (*np.percentile(warm or cold, (50, 95, 99)), first[1])
                )
                times[name] = StageTime(len(cold) + len(warm), p50, p95, p99, first_ms)
        return times


def clock_synced() -> bool:
    """Whether the kernel holds the wall clock to be set from a network, GPS or another reference."""
    timex = ctypes.create_string_buffer(512)  # struct timex, all zero: read, do not set
    state: int = _libc().adjtimex(timex)
    return state not in (-1, _TIME_ERROR)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
