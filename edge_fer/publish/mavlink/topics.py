"""What is spoken of over MAVLink: each topic knows when it has something to say, and says it a message at a time."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from edge_fer.publish.mavlink.computer import Computer
from edge_fer.publish.mavlink.faults import Faults, chunks
from edge_fer.publish.mavlink.tunnel import encode, tunnel_face
from edge_fer.schema import FaceReading, Reading, Record, State, Status
from edge_fer.types import LABELS

Message = Any
"""pymavlink's generator makes a class for each."""

_OVERHEAD = 12  # bytes of a MAVLink 2 packet beside its payload: header and checksum
_VERSION = 3  # of MAVLink in a HEARTBEAT, which calls both MAVLink 1 and 2 so
_PAYLOAD = 128  # bytes of a TUNNEL
_KNOWN_FACES = 1024  # whose last turn is remembered


class Topic(ABC):
    """Something to speak of.

    Args:
        message: pymavlink's class of its messages.

    Attributes:
        size: bytes of its largest packet.
        next_s: when it comes due by itself, seconds of CLOCK_MONOTONIC; infinite: only by what it is told.
    """

    next_s = math.inf

    def __init__(self, message: Any) -> None:
        self._message: Callable[..., Message] = message
        self.size: int = message.unpacker.size + _OVERHEAD

    @abstractmethod
    def is_due(self, now_s: float) -> bool:
        """Whether there is something to say."""

    @abstractmethod
    def make(self, now_ns: int) -> Message:
        """The next message, which is sent now; only when one is due.

        Args:
            now_ns: CLOCK_MONOTONIC.
        """

    def take(self, record: Record) -> None:
        """Take note of a record."""

    def begin(self) -> None:
        """A link has come up: whoever listens may have heard nothing before."""


class Periodic(Topic):
    """Comes due every so many seconds; what was held up is not made up for."""

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
    """HEARTBEAT once a second, as an onboard computer."""

    def __init__(self, dialect: ModuleType) -> None:
        super().__init__(dialect.MAVLink_heartbeat_message, every_s=1.0)
        self._who = dialect.MAV_TYPE_ONBOARD_CONTROLLER, dialect.MAV_AUTOPILOT_INVALID
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
        return self._message(*self._who, 0, 0, self._states[self._state], _VERSION)

    def take(self, record: Record) -> None:
        """See `Topic`."""
        self._state = "running" if isinstance(record, Reading) else record.state

    def begin(self) -> None:
        """See `Topic`; a heartbeat also shows whether the link takes anything."""
        self.next_s = 0.0


class Words(Topic):
    """STATUSTEXT: faults as they come and go."""

    def __init__(self, dialect: ModuleType) -> None:
        super().__init__(dialect.MAVLink_statustext_message)
        self._faults = Faults("mavlink")
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
            self._faults.told(notice, now_ns / 1e9)
        return self._pieces.popleft()

    def take(self, record: Record) -> None:
        """See `Topic`."""
        self._faults.see(record)

    def begin(self) -> None:
        """See `Topic`."""
        self._pieces.clear()
        self._faults.forget()


class ComputerStatus(Periodic):
    """ONBOARD_COMPUTER_STATUS: temperature, load and memory.

    Args:
        dialect: pymavlink's.
        every_s: seconds from one to the next.
        computer: looks at the box.
    """

    def __init__(self, dialect: ModuleType, every_s: float, computer: Computer) -> None:
        super().__init__(dialect.MAVLink_onboard_computer_status_message, every_s)
        self._computer = computer
        self._throttled: tuple[str, ...] = ()

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        self._done(now_ns / 1e9)
        return self._message(**self._computer.look(now_ns, self._throttled))

    def take(self, record: Record) -> None:
        """See `Topic`."""
        if isinstance(record, Status):
            self._throttled = record.throttled


class Values(Periodic):
    """NAMED_VALUE_FLOAT: the dominant label, for people at a ground station.

    Args:
        dialect: pymavlink's.
        every_s: seconds from one to the next.
    """

    def __init__(self, dialect: ModuleType, every_s: float) -> None:
        super().__init__(dialect.MAVLink_named_value_float_message, every_s)
        self._reading: Reading | None = None  # the newest, until it is told
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

    def take(self, record: Record) -> None:
        """See `Topic`."""
        if isinstance(record, Reading):
            self._reading = record

    def begin(self) -> None:
        """See `Topic`."""
        self._reading = None
        self._rest.clear()


class Faces(Topic):
    """TUNNEL: the faces of the newest reading, by turn, so that each is told as often as every other.

    Args:
        dialect: pymavlink's.
        payload_type: of the TUNNEL.
        offset_ns: gives the flight controller's clock less CLOCK_MONOTONIC at a time of the latter.

    Attributes:
        left_out: faces of readings that a newer one came before: what the budget has no room for.
    """

    def __init__(self, dialect: ModuleType, payload_type: int, offset_ns: Callable[[int], int | None]) -> None:
        super().__init__(dialect.MAVLink_tunnel_message)
        self._payload_type, self._offset_ns = payload_type, offset_ns
        self._rest: deque[tuple[Reading, FaceReading]] = deque()
        self._turns: dict[int, int] = {}  # by track: its last turn; the longest ago first
        self._turn = itertools.count()
        self.left_out = 0

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return bool(self._rest)

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        reading, face = self._rest.popleft()
        self._turns.pop(face.id, None)
        self._turns[face.id] = next(self._turn)
        if len(self._turns) > _KNOWN_FACES:
            del self._turns[next(iter(self._turns))]
        payload = encode(tunnel_face(reading, face, now_ns, self._offset_ns(now_ns)))
        return self._message(0, 0, self._payload_type, len(payload), payload.ljust(_PAYLOAD, b"\0"))

    def take(self, record: Record) -> None:
        """See `Topic`."""
        if isinstance(record, Reading):
            self.left_out += len(self._rest)
            faces = sorted(record.faces, key=lambda face: self._turns.get(face.id, -1))
            self._rest = deque((record, face) for face in faces)

    def begin(self) -> None:
        """See `Topic`."""
        self._rest.clear()


def values(faces: Sequence[FaceReading]) -> dict[str, float]:
    """What is shown of a frame, by name.

    Returns:
        `fer_faces`: how many faces there are. `fer_label`: the label of the largest face that has one, as its place
        in `LABELS`, 0 to 6; -1: there is none. `fer_conf`: that label's confidence, 0..1.
    """
    labelled = [face for face in faces if face.label is not None]
    nearest = max(labelled, key=lambda face: face.box.width * face.box.height, default=None)
    if nearest is None or nearest.label is None:
        return {"fer_faces": len(faces), "fer_label": -1.0, "fer_conf": 0.0}
    return {"fer_faces": len(faces), "fer_label": LABELS.index(nearest.label), "fer_conf": nearest.confidence}
