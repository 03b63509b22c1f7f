"""The messages that are sent over MAVLink: each topic decides when it is due, and makes one message at a time."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from edge_fer.publish.mavlink.computer import OnboardComputer
from edge_fer.publish.mavlink.faults import Faults, chunks
from edge_fer.publish.mavlink.tunnel import encode, tunnel_face
from edge_fer.schema import FaceReading, Reading, Record, State, Status
from edge_fer.types import LABELS

Message = Any
"""A message; pymavlink's generator makes a class for each kind."""

PAYLOAD = 128
"""Bytes of a TUNNEL's payload."""

_OVERHEAD = 12  # bytes of a MAVLink 2 packet beside its payload: header and checksum
_VERSION = 3  # the version in a HEARTBEAT, for MAVLink 1 and 2 alike
_MAX_TRACKS = 1024  # tracks whose last transmission is remembered


class Topic(ABC):
    """One kind of message to send.

    Args:
        message: pymavlink's class of the messages.

    Attributes:
        size: size of the largest packet, bytes.
        next_s: when it is due without a new record, CLOCK_MONOTONIC, seconds; infinite: never.
    """

    next_s = math.inf

    def __init__(self, message: Any) -> None:
        self._message: Callable[..., Message] = message
        self.size: int = message.unpacker.size + _OVERHEAD

    @abstractmethod
    def is_due(self, now_s: float) -> bool:
        """Whether there is a message to send.

        Args:
            now_s: CLOCK_MONOTONIC, seconds.
        """

    @abstractmethod
    def make(self, now_ns: int) -> Message:
        """Make the next message, which is sent now; call it only when one is due.

        Args:
            now_ns: CLOCK_MONOTONIC, nanoseconds.
        """

    def update(self, record: Record) -> None:
        """Take the next record of the run."""

    def on_link_up(self) -> None:
        """Start anew: the listener of a new link may have received nothing before."""


class Periodic(Topic):
    """A topic that is due once in an interval; after a delay no messages are made up for.

    Args:
        message: pymavlink's class of the messages.
        every_s: the interval, seconds.
    """

    def __init__(self, message: Any, every_s: float) -> None:
        super().__init__(message)
        self._every_s = every_s
        self.next_s = 0.0

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return now_s >= self.next_s

    def _done(self, now_s: float) -> None:
        due_s = self.next_s + self._every_s
        self.next_s = due_s if due_s > now_s else now_s + self._every_s


class Heartbeat(Periodic):
    """HEARTBEAT once a second, as an onboard computer.

    Args:
        dialect: pymavlink's module of messages.
    """

    def __init__(self, dialect: ModuleType) -> None:
        super().__init__(dialect.MAVLink_heartbeat_message, every_s=1.0)
        self._type = dialect.MAV_TYPE_ONBOARD_CONTROLLER, dialect.MAV_AUTOPILOT_INVALID
        self._states: dict[State, int] = {
            "starting": dialect.MAV_STATE_BOOT,
            "running": dialect.MAV_STATE_ACTIVE,
            "degraded": dialect.MAV_STATE_ACTIVE,
            "waiting_for_camera": dialect.MAV_STATE_STANDBY,
            "stopping": dialect.MAV_STATE_STANDBY,
        }
        self._state: State = "starting"

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        self._done(now_ns / 1e9)
        return self._message(*self._type, 0, 0, self._states[self._state], _VERSION)

    def update(self, record: Record) -> None:
        """See `Topic`."""
        if isinstance(record, Reading):
            self._state = "running"
        elif isinstance(record, Status):
            self._state = record.state

    def on_link_up(self) -> None:
        """See `Topic`; the heartbeat that follows also shows whether the link accepts packets."""
        self.next_s = 0.0


class StatusText(Topic):
    """STATUSTEXT: faults as they begin and end.

    Args:
        dialect: pymavlink's module of messages.
        fault_interval_s: see `Faults`.
    """

    def __init__(self, dialect: ModuleType, fault_interval_s: float) -> None:
        super().__init__(dialect.MAVLink_statustext_message)
        self._faults = Faults("mavlink", fault_interval_s)
        self._pieces: deque[Message] = deque()
        self._ids = itertools.cycle(range(1, 2**16))

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return bool(self._pieces) or self._faults.next(now_s) is not None

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        if not self._pieces and (notice := self._faults.next(now_ns / 1e9)) is not None:
            pieces = chunks(notice.text)
            number = next(self._ids) if len(pieces) > 1 else 0
            self._pieces.extend(self._message(notice.severity, piece, number, i) for i, piece in enumerate(pieces))
            self._faults.mark_sent(notice, now_ns / 1e9)
        return self._pieces.popleft()

    def update(self, record: Record) -> None:
        """See `Topic`."""
        self._faults.update(record)

    def on_link_up(self) -> None:
        """See `Topic`."""
        self._pieces.clear()
        self._faults.reset()


class ComputerStatus(Periodic):
    """ONBOARD_COMPUTER_STATUS: temperature, load and memory.

    Args:
        dialect: pymavlink's module of messages.
        every_s: the interval, seconds.
        computer: gives the fields of the message.
    """

    def __init__(self, dialect: ModuleType, every_s: float, computer: OnboardComputer) -> None:
        super().__init__(dialect.MAVLink_onboard_computer_status_message, every_s)
        self._computer = computer
        self._throttled: tuple[str, ...] = ()

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        self._done(now_ns / 1e9)
        return self._message(**self._computer.fields(now_ns, self._throttled))

    def update(self, record: Record) -> None:
        """See `Topic`."""
        if isinstance(record, Status):
            self._throttled = record.throttled


class NamedValues(Periodic):
    """NAMED_VALUE_FLOAT: the label of the largest face, for people at a ground station.

    Args:
        dialect: pymavlink's module of messages.
        every_s: the interval, seconds.
    """

    def __init__(self, dialect: ModuleType, every_s: float) -> None:
        super().__init__(dialect.MAVLink_named_value_float_message, every_s)
        self._reading: Reading | None = None  # the newest one, until its messages are made
        self._rest: deque[Message] = deque()

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return bool(self._rest) or (self._reading is not None and super().is_due(now_s))

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        if self._reading is not None and not self._rest:
            self._done(now_ns / 1e9)
            boot_ms = self._reading.captured_ns // 10**6 % 2**32
            found = values(self._reading.faces)
            self._rest.extend(self._message(boot_ms, name.encode(), value) for name, value in found.items())
            self._reading = None
        return self._rest.popleft()

    def update(self, record: Record) -> None:
        """See `Topic`."""
        if isinstance(record, Reading):
            self._reading = record

    def on_link_up(self) -> None:
        """See `Topic`."""
        self._reading = None
        self._rest.clear()


class Faces(Topic):
    """TUNNEL: the faces of the newest reading, in turn, so that each track is sent as often as every other.

    Args:
        dialect: pymavlink's module of messages.
        payload_type: the TUNNEL's payload type.
        offset_ns: gives the flight controller's clock less CLOCK_MONOTONIC, nanoseconds, at a time of the latter; None
            while that is unknown.

    Attributes:
        left_out: faces that were not sent before the next reading came, since the budget had no room.
    """

    def __init__(self, dialect: ModuleType, payload_type: int, offset_ns: Callable[[int], int | None]) -> None:
        super().__init__(dialect.MAVLink_tunnel_message)
        self._payload_type, self._offset_ns = payload_type, offset_ns
        self._rest: deque[tuple[Reading, FaceReading]] = deque()
        self._sent: dict[int, int] = {}  # by track: the number of its last transmission, the oldest first
        self._numbers = itertools.count()
        self.left_out = 0

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return bool(self._rest)

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        reading, face = self._rest.popleft()
        self._sent.pop(face.id, None)
        self._sent[face.id] = next(self._numbers)
        if len(self._sent) > _MAX_TRACKS:
            del self._sent[next(iter(self._sent))]
        payload = encode(tunnel_face(reading, face, now_ns, self._offset_ns(now_ns)))
        return self._message(0, 0, self._payload_type, len(payload), payload.ljust(PAYLOAD, b"\0"))

    def update(self, record: Record) -> None:
        """See `Topic`."""
        if isinstance(record, Reading):
            self.left_out += len(self._rest)
            faces = sorted(record.faces, key=lambda face: self._sent.get(face.id, -1))
            self._rest = deque((record, face) for face in faces)

    def on_link_up(self) -> None:
        """See `Topic`."""
        self._rest.clear()


def values(faces: Sequence[FaceReading]) -> dict[str, float]:
    """The values for a ground station, by name.

    Args:
        faces: the faces of a reading.

    Returns:
        `fer_faces`: how many faces there are. `fer_label`: the label of the largest face that has one, as its index in
        `LABELS`, 0 to 6; -1: there is none. `fer_conf`: that label's confidence, 0..1.
    """
    labelled = [face for face in faces if face.label is not None]
    nearest = max(labelled, key=lambda face: face.box.width * face.box.height, default=None)
    if nearest is None or nearest.label is None:
        return {"fer_faces": len(faces), "fer_label": -1.0, "fer_conf": 0.0}
    return {"fer_faces": len(faces), "fer_label": LABELS.index(nearest.label), "fer_conf": nearest.confidence}
