"""When to try again after a failure."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Backoff:
    """Pauses before new attempts: the first is `initial_s`, each further one twice as long, none longer than `cap_s`.

    Args:
        initial_s: first pause, seconds.
        cap_s: longest pause, seconds.
        clock: seconds that never go backwards.

    Attributes:
        failures: failures since the last success.
    """

    def __init__(self, initial_s: float, cap_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._initial_s = initial_s
        self._cap_s = cap_s
        self._clock = clock
        self.failures = 0
        self._due = -math.inf

    def failed(self) -> float:
        """Note a failure and return the pause before the next attempt, seconds."""
        pause = min(self._initial_s * 2.0 ** min(self.failures, 64), self._cap_s)
        self.failures += 1
        self._due = self._clock() + pause
        return pause

    def reset(self) -> None:
        """Note a success: the next pause is `initial_s` again."""
        self.failures = 0
        self._due = -math.inf

    @property
    def ready(self) -> bool:
        """Whether the next attempt is due."""
        return self._clock() >= self._due
