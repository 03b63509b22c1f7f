"""Whether another client has this one's id, and how long to leave the broker to it: two would fight without end."""

from __future__ import annotations

from typing import NamedTuple

from edge_fer.common.backoff import Backoff
from edge_fer.publish.mqtt.link_error import LinkError

_TOLD_AFTER = 3
_SHORTEST_S, _LONGEST_S = 0.4, 60.0
_DOUBLINGS = 3


class Rival(NamedTuple):
    """Another client with the same id.

    Attributes:
        pause_s: how long to leave the broker to it, seconds.
        signs: how it shows.
    """

    pause_s: float
    signs: str


class Rivals:
    """Judges how links have ended.

    A broker may say that another client took this one's place (MQTT 5: session taken over). Mosquitto 2.0 just closes
    the connection; where it has done so several times in a row, each time soon and yet not at once, with a link that
    worked, there is another client. A broker that is restarted refuses connections in between, and a broken wire ends a
    link at no such time.

    Args:
        pause_s: how long to stay away the first time, seconds; twice as long each time, eight times as long at most.
    """

    def __init__(self, pause_s: float) -> None:
        self._backoff = Backoff(pause_s, pause_s * 2**_DOUBLINGS)
        self._longest_s = max(_LONGEST_S, pause_s * 2**_DOUBLINGS)
        self._closed = 0  # links in a row that were closed as if by a rival

    def link_ended(self, error: LinkError, held_s: float) -> Rival | None:
        """Take note of how a link has ended, or that there was none.

        Args:
            error: why.
            held_s: how long there was a link, seconds.

        Returns:
            The other client; None: there is no sign of one.
        """
        if held_s >= self._longest_s:
            self._backoff.reset()
        is_closed_soon = error.is_closed and _SHORTEST_S <= held_s < _LONGEST_S
        self._closed = self._closed + 1 if is_closed_soon else 0
        if error.is_taken_over:
            return Rival(self._backoff.failed(), "another: session taken over")
        if self._closed >= _TOLD_AFTER:
            signs = f"signs of another: the connection was closed soon after it began, {self._closed} times in a row"
            return Rival(self._backoff.failed(), signs)
        return None
