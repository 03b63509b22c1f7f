"""Bounds on the log, for what strangers can cause as often as they like."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from edge_fer.common.rate_limiter import RateLimiter

_AT_ONCE, _EVERY_S = 5, 60.0


class LogLimit(logging.Filter):
    """Lets through few messages from each place in the code; what it leaves out is counted, and told with the next one.

    Args:
        at_once: messages of one place that may come at once.
        every_s: afterwards one in so many seconds.
        clock: seconds that never go backwards.
    """

    def __init__(
        self, at_once: int = _AT_ONCE, every_s: float = _EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._limiter = RateLimiter(1 / every_s, at_once, clock)
        self._left_out: Counter[tuple[str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record may be logged; see `logging.Filter`."""
        place = record.pathname, record.lineno
        if not self._limiter.allow(place):
            self._left_out[place] += 1
            return False
        if left_out := self._left_out.pop(place, 0):
            record.msg, record.args = f"{record.getMessage()} (and {left_out} such messages before it)", ()
        return True
