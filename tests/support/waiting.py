"""Waiting for a condition, and a clock that is set by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 20.0
"""Nothing that a test waits for takes so long; what does has failed."""


def wait_until(
    condition: Callable[[], Any],
    each: Callable[[], object] = lambda: None,
    *,
    seconds: float = PATIENCE_S,
    what: str | Callable[[], str] = "",
) -> Any:
    """Wait for a condition, and return its first true value; fail when there is none in time.

    Args:
        condition: called again and again.
        each: called after each time that the condition was false.
        seconds: how long to wait, seconds.
        what: what was expected, for the failure's message; called, if it can be, when that is written.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what() if callable(what) else what}"
        each()
        time.sleep(0.005)
    return value


class Clock:
    """Seconds that pass only when a test says so.

    Args:
        now: the time at first, seconds.

    Attributes:
        now: the time, seconds; set by the test.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
