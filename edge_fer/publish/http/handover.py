"""A bounded queue from the sink's thread to the server's event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """Hands items to an event loop in another thread; while that is busy, the newest items wait.

    While there is no loop, items are discarded without being counted: the caller knows that there is none.

    Args:
        limit: items that wait at most; the oldest is lost to a newer one.
        take: called in the loop's thread with each item.
    """

    def __init__(self, limit: int, take: Callable[[T], None]) -> None:
        self._take = take
        self._lock = threading.Lock()  # guards all that follows
        self._lost = 0
        self._waiting: deque[T] = deque(maxlen=limit)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled = False

    @property
    def lost(self) -> int:
        """How many items were lost so far."""
        with self._lock:
            return self._lost

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Hand over to a loop from now on; what waits is lost.

        Args:
            loop: the event loop; None: there is none.
        """
        with self._lock:
            self._lost += len(self._waiting)
            self._waiting.clear()
            self._loop, self._scheduled = loop, False

    def put(self, item: T) -> None:
        """Hand over an item, from any thread."""
        with self._lock:
            if self._loop is None:
                return
            self._lost += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(item)
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self._lock:
            items, self._scheduled = tuple(self._waiting), False
            self._waiting.clear()
        for item in items:
            self._take(item)
