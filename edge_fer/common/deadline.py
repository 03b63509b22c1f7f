"""Whether a call in another thread has outlived its deadline: what the service's watchdog goes by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def stuck_sentence(loop: str) -> str:
    """What is told of a loop in which a call has missed its deadline."""
    return f"{loop}: a call has outlived its deadline and cannot be ended"


class Deadline:
    """Set around each call that could get stuck, one a thread; any thread may ask.

    Args:
        clock: seconds that never go backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[int, float] = {}

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """The call in this context ends in so many seconds, if all is well."""
        self._due[threading.get_ident()] = self._clock() + seconds
        try:
            yield
        finally:
            del self._due[threading.get_ident()]

    @property
    def missed(self) -> bool:
        """Whether a call is under way that should have ended."""
        now = self._clock()
        return any(due < now for due in tuple(self._due.values()))
