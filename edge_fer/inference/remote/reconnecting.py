"""When a connection that failed is opened again: after pauses that double, for ever."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from edge_fer.common.backoff import Backoff
from edge_fer.inference.recovery_attempt import RecoveryAttempt

STEP = "reconnect"
"""The only step, as the status record names it."""


class Reconnecting:
    """Connects again after each failure; see `edge_fer.inference.recovery_attempt.Policy`.

    Args:
        backoff: pauses before each attempt.
        steady_s: a connection that held for so long has recovered: its next failure is a first one, seconds.
        clock: seconds, monotonic.

    Attributes:
        counts: how often it was tried.
    """

    def __init__(self, backoff: Backoff, steady_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._backoff, self._steady_s, self._clock = backoff, steady_s, clock
        self._works_since: float | None = None

    def succeeded(self) -> None:
        """Note that the connection works."""
        self._works_since = self._clock()

    def start_over(self) -> None:
        """Begin with short pauses again."""
        self._backoff.reset()

    def failed(self, *, reset_may_help: bool = True) -> RecoveryAttempt:
        """Say how long to wait before the next attempt.

        Args:
            reset_may_help: not used: there is nothing to reset.
        """
        if self._works_since is not None and self._clock() - self._works_since >= self._steady_s:
            self.start_over()
        self._works_since = None
        self.counts[STEP] += 1
        pause_s = self._backoff.failed()
        return RecoveryAttempt(STEP, f"{STEP}, next attempt in {pause_s:g} s", pause_s)
