"""Limits the bytes a second, for slow links."""

from __future__ import annotations


class Budget:
    """A token bucket that lets no more than `per_second` bytes through in any one second.

    It holds enough for one message of the largest size, and fills so fast that a full bucket and what flows in during a
    second make `per_second` together.

    Args:
        per_second: bytes a second, more than `largest`.
        largest: bytes of the largest message.
        now_s: the time now, in seconds of the clock that the methods are called with; it never goes backwards.
    """

    def __init__(self, per_second: float, largest: int, now_s: float) -> None:
        self._rate = per_second - largest
        self._largest = largest
        self._held = float(largest)
        self._at_s = now_s

    def wait_s(self, size: int, now_s: float) -> float:
        """Seconds until a message may be sent; 0: now.

        Args:
            size: the message's size, bytes.
            now_s: the time now, seconds.
        """
        self._fill(now_s)
        return max(0.0, size - self._held) / self._rate

    def take(self, size: int, now_s: float) -> None:
        """Note that a message is sent.

        Args:
            size: the message's size, bytes.
            now_s: the time now, seconds.
        """
        self._fill(now_s)
        self._held -= size

    def _fill(self, now_s: float) -> None:
        self._held = min(self._largest, self._held + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
