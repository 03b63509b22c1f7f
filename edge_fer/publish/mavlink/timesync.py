"""The difference to another clock, by MAVLink's TIMESYNC: a request with our time, a reply with theirs.

The reply's time was read somewhere within the round trip, so half of that bounds the error. Of the last replies the one
with the shortest round trip is used, as in NTP's clock filter (RFC 5905, section 10): varying delays only ever make the
round trip longer.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MIN_SAMPLES = 5
"""So many replies are needed before there is an offset."""

TIMEOUT_NS = 10 * 10**9
"""So long after the last reply the offset is unknown again: the other side may have restarted."""

_WINDOW = 16
_MAX_OPEN_REQUESTS = 8
_OUTLIERS = 3  # so many in a row mean that the other clock has jumped
_DRIFT_NS = 10**6  # of two crystals within the window: 50 parts in a million over 16 s, rounded up


class _Sample(NamedTuple):
    offset_ns: int
    round_trip_ns: int

    def contradicts(self, other: _Sample) -> bool:
        """Whether no offset fits both."""
        bound_ns = (self.round_trip_ns + other.round_trip_ns) / 2 + _DRIFT_NS
        return abs(self.offset_ns - other.offset_ns) > bound_ns


class Timesync:
    """Follows one clock.

    Args:
        max_round_trip_ns: a reply that took longer is not used, nanoseconds.
    """

    def __init__(self, max_round_trip_ns: int) -> None:
        self._max_round_trip_ns = max_round_trip_ns
        self._open: deque[int] = deque(maxlen=_MAX_OPEN_REQUESTS)
        self._samples: deque[_Sample] = deque(maxlen=_WINDOW)
        self._outliers: list[_Sample] = []
        self._replied_ns = 0

    def request_sent(self, now_ns: int) -> None:
        """Note a request.

        Args:
            now_ns: our time, which it carries, nanoseconds.
        """
        self._open.append(now_ns)

    def has_asked(self, requested_ns: int) -> bool:
        """Whether there was a request with this time that has no reply yet, nanoseconds."""
        return requested_ns in self._open

    def reply_received(self, requested_ns: int, their_ns: int, now_ns: int) -> bool:
        """Take a reply.

        Args:
            requested_ns: our time of the request, which the reply carries back, nanoseconds; where there was no such
                request, or it has a reply already, this one is not used.
            their_ns: their time, nanoseconds.
            now_ns: our time, nanoseconds.

        Returns:
            Whether it is used.
        """
        if requested_ns not in self._open:
            return False
        self._open.remove(requested_ns)
        round_trip_ns = now_ns - requested_ns
        if round_trip_ns > self._max_round_trip_ns:
            return False
        if now_ns - self._replied_ns > TIMEOUT_NS:
            self.reset()
        sample = _Sample(their_ns - (requested_ns + now_ns) // 2, round_trip_ns)
        if self._samples and sample.contradicts(self._best):
            self._outliers.append(sample)
            if len(self._outliers) < _OUTLIERS:
                return False
            self._samples.clear()
            self._samples.extend(self._outliers)
        else:
            self._samples.append(sample)
        self._outliers.clear()
        self._replied_ns = now_ns
        return True

    def offset_ns(self, now_ns: int) -> int | None:
        """Their clock less ours, nanoseconds; None while that is unknown.

        Args:
            now_ns: our time, nanoseconds.
        """
        if len(self._samples) < MIN_SAMPLES or now_ns - self._replied_ns > TIMEOUT_NS:
            return None
        return self._best.offset_ns

    def reset(self) -> None:
        """Forget all samples, as when another clock is followed."""
        self._samples.clear()
        self._outliers.clear()

    @property
    def _best(self) -> _Sample:
        return min(self._samples, key=lambda sample: sample.round_trip_ns)
