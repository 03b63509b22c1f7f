"""How often something may happen."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

_MAX_KEYS = 1024


class RateLimiter:
    """Allows so many events a second for each key, such as an address, with bursts: a token bucket for each.

    Of many keys, those without events for the longest time are forgotten.

    Args:
        rate: events a second.
        burst: events at once.
        clock: seconds that never go backwards.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # by key: events left, and since when

    def wait_s(self, key: Hashable) -> float:
        """Seconds until one more event of a key is allowed; 0: now."""
        return max(1 - self._now(key), 0) / self._rate

    def allow(self, key: Hashable) -> bool:
        """Count one more event of a key where it is allowed; whether it is."""
        left = self._now(key)
        if left >= 1:
            self._left[key] = (left - 1, self._clock())
            self._left.move_to_end(key)
            if len(self._left) > _MAX_KEYS:
                self._left.popitem(last=False)
        return left >= 1

    def _now(self, key: Hashable) -> float:
        left, at = self._left.get(key, (self._burst, self._clock()))
        return min(left + (self._clock() - at) * self._rate, self._burst)
