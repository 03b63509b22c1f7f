"""Whether a call in another thread has outlived its deadline: the service's watchdog depends on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def stuck_sentence(loop: str) -> str:
    """The message about a loop in which a call has missed its deadline."""
    return f"{loop}: a call has outlived its deadline and cannot be ended"


class Deadline:
    """Set around each call that could get stuck, one a thread; read in any thread.

    Args:
        clock: seconds that never go backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: dict[int, float] = {}

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """State that the call in this context should end within so many seconds."""
        thread = threading.get_ident()
        with self._lock:
            self._due[thread] = self._clock() + seconds
        try:
            yield
        finally:
            with self._lock:
                del self._due[thread]

    @property
    def missed(self) -> bool:
        """Whether a call is in progress that should have ended by now."""
        now = self._clock()
        with self._lock:
            return any(due < now for due in self._due.values())


class Heartbeat:
    """Shows that a loop in another thread turns; set by that loop, read in any thread.

    Args:
        patience_s: a loop that has not turned for so long is stuck, seconds.
        clock: seconds that never go backwards.
    """

    def __init__(self, patience_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s, self._clock = patience_s, clock
        self._turned = clock()

    def beat(self) -> None:
        """Note that the loop has turned."""
        self._turned = self._clock()

    @property
    def missed(self) -> bool:
        """Whether the loop should have turned by now."""
        return self._clock() - self._turned > self._patience_s
