"""How far another clock is from ours, by MAVLink's TIMESYNC: a question with our time, an answer with theirs.

The answer's time was read somewhere within the round trip, so half of that bounds the error. Of the last answers the
one with the shortest round trip is believed, as in NTP's clock filter (RFC 5905, section 10): a delay that varies
only ever lengthens it.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

ENOUGH = 5
"""Answers before the offset is believed."""

SILENCE_NS = 10 * 10**9
"""After so long without an answer nothing is known any more: the other side may have started anew."""

_WINDOW = 16
_OPEN_QUESTIONS = 8
_STRAYS = 3  # in a row: the other clock has jumped
_DRIFT_NS = 10**6  # two crystals within the window: 50 parts in a million over 16 s, rounded up


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
        max_round_trip_ns: an answer that took longer is not used.
    """

    def __init__(self, max_round_trip_ns: int) -> None:
        self._max_round_trip_ns = max_round_trip_ns
        self._open: deque[int] = deque(maxlen=_OPEN_QUESTIONS)
        self._samples: deque[_Sample] = deque(maxlen=_WINDOW)
        self._strays: list[_Sample] = []
        self._answered_ns = 0

    def asked(self, now_ns: int) -> None:
        """Note a question that carries this time of ours."""
        self._open.append(now_ns)

    def answered(self, asked_ns: int, their_ns: int, now_ns: int) -> bool:
        """Take an answer.

        Args:
            asked_ns: our time that it carries back; one that was not asked, or was answered before, is not used.
            their_ns: their time.
            now_ns: our time.

        Returns:
            Whether it is used.
        """
        if asked_ns not in self._open:
            return False
        self._open.remove(asked_ns)
        round_trip_ns = now_ns - asked_ns
        if round_trip_ns > self._max_round_trip_ns:
            return False
        if now_ns - self._answered_ns > SILENCE_NS:
            self.forget()
        sample = _Sample(their_ns - (asked_ns + now_ns) // 2, round_trip_ns)
        if self._samples and sample.contradicts(self._best):
            self._strays.append(sample)
            if len(self._strays) < _STRAYS:
                return False
            self._samples.clear()
            self._samples.extend(self._strays)
        else:
            self._samples.append(sample)
        self._strays.clear()
        self._answered_ns = now_ns
        return True

    def offset_ns(self, now_ns: int) -> int | None:
        """Their clock less ours; null while that is not known."""
        if len(self._samples) < ENOUGH or now_ns - self._answered_ns > SILENCE_NS:
            return None
        return self._best.offset_ns

    def forget(self) -> None:
        """Begin anew, as with another clock."""
        self._samples.clear()
        self._strays.clear()

    @property
    def _best(self) -> _Sample:
        return min(self._samples, key=lambda sample: sample.round_trip_ns)
