"""From the sink's thread to the server's, bounded."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """Hands items to an event loop in another thread; while that is busy, the newest wait.

    While there is no loop, items go nowhere; whoever hands over knows that.

    Args:
        limit: items that wait at most; the oldest is lost to a newer one.
        take: called in the loop's thread with each item.

    Attributes:
        lost: items that were lost so far.
    """

    def __init__(self, limit: int, take: Callable[[T], None]) -> None:
        self.lost = 0
        self._take = take
        self._waiting: deque[T] = deque(maxlen=limit)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._called = False

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Hand over to this loop from now on; null: to none, which loses what waits."""
        with self._lock:
            self.lost += len(self._waiting)
            self._waiting.clear()
            self._loop, self._called = loop, False

    def put(self, item: T) -> None:
        """Hand over an item, from any thread."""
        with self._lock:
            if self._loop is None:
                return
            self.lost += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(item)
            if not self._called:
                self._called = True
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self._lock:
            items, self._called = tuple(self._waiting), False
            self._waiting.clear()
        for item in items:
            self._take(item)
