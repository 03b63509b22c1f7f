"""The topic of faces that have left."""

from __future__ import annotations

from collections import deque
from types import ModuleType

from edge_fer.publish.mavlink.topics import PAYLOAD, Message, Topic
from edge_fer.publish.mavlink.tunnel_track import encode
from edge_fer.schema import Record, TrackRecord

_MOST = 64  # tracks that wait for the budget: eight seconds of it at the default rate


class Tracks(Topic):
    """TUNNEL: what was seen of each face that has left, once.

    Args:
        dialect: pymavlink's module of messages.
        payload_type: the TUNNEL's payload type.

    Attributes:
        left_out: tracks that were not sent, since more of them ended than the budget had room for.
    """

    def __init__(self, dialect: ModuleType, payload_type: int) -> None:
        super().__init__(dialect.MAVLink_tunnel_message)
        self._payload_type = payload_type
        self._waiting: deque[TrackRecord] = deque(maxlen=_MOST)
        self.left_out = 0

    @property
    def waiting(self) -> int:
        """How many are still to be sent."""
        return len(self._waiting)

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return bool(self._waiting)

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        payload = encode(self._waiting.popleft())
        return self._message(0, 0, self._payload_type, len(payload), payload.ljust(PAYLOAD, b"\0"))

    def update(self, record: Record) -> None:
        """See `Topic`."""
        if isinstance(record, TrackRecord):
            self.left_out += len(self._waiting) == _MOST
            self._waiting.append(record)

    def on_link_up(self) -> None:
        """See `Topic`; those that came while the link was down count as dropped."""
        self._waiting.clear()
