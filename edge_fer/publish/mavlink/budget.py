"""How many bytes may be sent, for links that carry few."""

from __future__ import annotations


class Budget:
    """A token bucket that lets no more than `per_second` bytes through in any one second.

    It holds enough for one message of the largest size, and fills so fast that a full one and a second's flow make
    `per_second` together.

    Args:
        per_second: bytes, more than `largest`.
        largest: bytes of the largest message.
        now_s: seconds by the clock that the methods are called with; it never goes backwards.
    """

    def __init__(self, per_second: float, largest: int, now_s: float) -> None:
        self._rate = per_second - largest
        self._largest = largest
        self._held = float(largest)
        self._at_s = now_s

    def wait_s(self, size: int, now_s: float) -> float:
        """Seconds until so many bytes may be sent; 0: now."""
        self._fill(now_s)
        return max(0.0, size - self._held) / self._rate

    def take(self, size: int, now_s: float) -> None:
        """Note that so many bytes are sent."""
        self._fill(now_s)
        self._held -= size

    def _fill(self, now_s: float) -> None:
        self._held = min(self._largest, self._held + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
