"""The vehicle's roll at the moment of a frame, from what its autopilot sends."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque

_MAX_SAMPLES = 64
_MAX_DISTANCE_NS = 1_000_000_000  # samples that are farther from a moment, before or after it, are not used


class Attitude:
    """The last samples of the roll; for any threads."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=_MAX_SAMPLES)
        self._lock = threading.Lock()

    def add(self, at_ns: int, roll_deg: float) -> None:
        """Add a sample.

        Args:
            at_ns: its time, CLOCK_MONOTONIC, nanoseconds; not before that of the last sample.
            roll_deg: the roll, degrees, clockwise as seen from behind, -180..180.
        """
        with self._lock:
            self._samples.append((at_ns, roll_deg))

    def roll_deg(self, at_ns: int) -> float:
        """The roll at a moment, degrees: interpolated between the samples before and after it; 0 where there are none.

        Args:
            at_ns: the moment, CLOCK_MONOTONIC, nanoseconds.
        """
        with self._lock:
            samples = list(self._samples)
        place = bisect_left(samples, (at_ns, float("-inf")))
        neighbours = samples[max(place - 1, 0) : place + 1]
        near = [(at, roll) for at, roll in neighbours if abs(at - at_ns) <= _MAX_DISTANCE_NS]
        if not near:
            return 0.0
        (before_ns, before), (after_ns, after) = near[0], near[-1]
        if after_ns == before_ns:
            return before
        difference = (after - before + 180) % 360 - 180  # the shorter way round, as from 170 to -170
        roll = before + difference * (at_ns - before_ns) / (after_ns - before_ns)
        return (roll + 180) % 360 - 180
