"""Which MAVLink messages are sent, and when: by priority, within a budget of bytes.

There is no input or output here; the sink sends the packets and receives the bytes.

    records        -> topics -> the first one that is due -> budget -> packets
    received bytes -> autopilot (its heartbeats, ATTITUDE, TIMESYNC)
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from edge_fer.publish.attitude import Attitude
from edge_fer.publish.mavlink.autopilot import Autopilot, TimesyncReply, TimesyncRequest
from edge_fer.publish.mavlink.budget import Budget
from edge_fer.publish.mavlink.computer import OnboardComputer
from edge_fer.publish.mavlink.faults import FAULT_INTERVAL_S
from edge_fer.publish.mavlink.topics import ComputerStatus, Faces, Heartbeat, NamedValues, StatusText, Topic
from edge_fer.publish.mavlink.track_topic import Tracks
from edge_fer.schema import Record
from edge_fer.settings import MavlinkSettings

_PARSED_BYTES = 65_536


class MessageScheduler:
    """Chooses the next messages; for one thread at a time.

    Args:
        settings: the system and component id, the intervals of the messages, and the budget.
        dialect: pymavlink's `common` dialect of MAVLink 2.
        clock_ns: CLOCK_MONOTONIC, nanoseconds.
        computer: gives the state of this computer.
        attitude: gets the vehicle's roll.
        fault_interval_s: see `edge_fer.publish.mavlink.faults.Faults`.
    """

    def __init__(
        self,
        settings: MavlinkSettings,
        dialect: ModuleType,
        clock_ns: Callable[[], int],
        computer: OnboardComputer,
        attitude: Attitude | None = None,
        fault_interval_s: float = FAULT_INTERVAL_S,
    ) -> None:
        self._clock_ns = clock_ns
        self._mav = dialect.MAVLink(None, settings.system_id, settings.component_id)
        self._mav.robust_parsing = True
        self._autopilot = Autopilot(dialect, settings.system_id, round(settings.timesync_ms * 1e6), attitude)
        self._faces = Faces(dialect, settings.payload_type, self._autopilot.timesync.offset_ns)
        self._tracks = Tracks(dialect, settings.payload_type + 1)
        # In order of priority: a topic that must wait for the budget is not overtaken by those after it.
        self._topics: tuple[Topic, ...] = (
            TimesyncReply(dialect, self._autopilot),
            Heartbeat(dialect),
            StatusText(dialect, fault_interval_s),
            TimesyncRequest(dialect, self._autopilot),
            ComputerStatus(dialect, settings.computer_s, computer),
            NamedValues(dialect, settings.values_s),
            self._tracks,
            self._faces,
        )
        largest = max(topic.size for topic in self._topics)
        self._budget = Budget(settings.bytes_per_s, largest, clock_ns() / 1e9)

    @property
    def left_out(self) -> int:
        """Faces of readings that were not sent because the budget had no room."""
        return self._faces.left_out

    @property
    def has_tracks(self) -> bool:
        """Whether records of faces that have left are still to be sent."""
        return self._tracks.waiting > 0

    @property
    def left_out_tracks(self) -> int:
        """Records of faces that have left that were not sent because the budget had no room."""
        return self._tracks.left_out + self._tracks.waiting

    def update(self, record: Record) -> None:
        """Take the next record of the run."""
        for topic in self._topics:
            topic.update(record)

    def receive(self, content: bytes) -> None:
        """Take received bytes; those that are no MAVLink are ignored."""
        now_ns = self._clock_ns()
        for message in self._mav.parse_buffer(content) or ():
            self._autopilot.receive(message, now_ns)
        # pymavlink frees what it has parsed only when that ends with a complete message.
        if len(self._mav.buf) > _PARSED_BYTES:
            del self._mav.buf[: self._mav.buf_index]
            self._mav.buf_index = 0

    def due_packets(self) -> tuple[list[bytes], float]:
        """The packets to send now, and the seconds after which to call again unless something comes before."""
        packets: list[bytes] = []
        while True:
            now_ns = self._clock_ns()
            now_s = now_ns / 1e9
            next_s = min(topic.next_s - now_s for topic in self._topics if topic.next_s > now_s)
            topic = next((topic for topic in self._topics if topic.is_due(now_s)), None)
            # Faces reserve a full TUNNEL and need half of it, so a message of higher priority has room at once.
            wait_s = self._budget.wait_s(topic.size, now_s) if topic is not None else next_s
            if topic is None or wait_s > 0:
                return packets, min(wait_s, next_s)
            packet = topic.make(now_ns).pack(self._mav)
            self._mav.seq = (self._mav.seq + 1) % 256
            self._budget.take(len(packet), now_s)
            packets.append(packet)

    def on_link_up(self) -> None:
        """Start anew for a new listener: the faults that exist are sent again, and old records are not."""
        for topic in self._topics:
            topic.on_link_up()
