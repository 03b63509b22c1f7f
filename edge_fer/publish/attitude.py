"""How far the vehicle banks, as its autopilot tells, at the moment of a frame."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque

_KEPT = 64
_FRESH_NS = 1_000_000_000  # what was told longer before, or after, says nothing


class Attitude:
    """What was told of the roll, for any thread."""

    def __init__(self) -> None:
        self._told: deque[tuple[int, float]] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def tell(self, at_ns: int, roll_deg: float) -> None:
        """Take in a roll.

        Args:
            at_ns: when it was so, CLOCK_MONOTONIC; never before one told earlier.
            roll_deg: degrees, clockwise as seen from behind, -180..180.
        """
        with self._lock:
            self._told.append((at_ns, roll_deg))

    def roll_deg(self, at_ns: int) -> float:
        """The roll at a moment, degrees: between what was told before and after it; 0 where nobody knows."""
        with self._lock:
            told = list(self._told)
        place = bisect_left(told, (at_ns, float("-inf")))
        near = [(at, roll) for at, roll in told[max(place - 1, 0) : place + 1] if abs(at - at_ns) <= _FRESH_NS]
        if not near:
            return 0.0
        (before_ns, before), (after_ns, after) = near[0], near[-1]
        if after_ns == before_ns:
            return before
        way = (after - before + 180) % 360 - 180  # over 180 degrees and not all around
        roll = before + way * (at_ns - before_ns) / (after_ns - before_ns)
        return (roll + 180) % 360 - 180
