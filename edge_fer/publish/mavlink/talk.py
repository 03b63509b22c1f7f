"""What is said over MAVLink, and when: by urgency, within a budget of bytes.

No input or output here, `mavlink.py` has those.

records     -> topics -> the most urgent that is due -> budget -> packets
bytes heard -> autopilot (its heartbeats, TIMESYNC)
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from edge_fer.publish.attitude import Attitude
from edge_fer.publish.mavlink.autopilot import Answer, Autopilot, Question
from edge_fer.publish.mavlink.budget import Budget
from edge_fer.publish.mavlink.computer import Computer
from edge_fer.publish.mavlink.topics import ComputerStatus, Faces, Heartbeat, Topic, Values, Words
from edge_fer.schema import Record
from edge_fer.settings import MavlinkSettings

_PARSED_BYTES = 65_536


class Talker:
    """Decides what is said.

    Args:
        settings: who we are, how often what is said, and the budget.
        dialect: pymavlink's `common` dialect of MAVLink 2.
        clock_ns: CLOCK_MONOTONIC.
        computer: looks at the box.
        attitude: told how far the vehicle banks.
    """

    def __init__(
        self,
        settings: MavlinkSettings,
        dialect: ModuleType,
        clock_ns: Callable[[], int],
        computer: Computer,
        attitude: Attitude | None = None,
    ) -> None:
        self._clock_ns = clock_ns
        self._mav = dialect.MAVLink(None, settings.system_id, settings.component_id)
        self._mav.robust_parsing = True
        self._autopilot = Autopilot(dialect, settings.system_id, round(settings.timesync_ms * 1e6), attitude)
        self._faces = Faces(dialect, settings.payload_type, self._autopilot.timesync.offset_ns)
        # The most urgent first; one that must wait for the budget is not overtaken by those after it.
        self._topics: tuple[Topic, ...] = (
            Answer(dialect, self._autopilot),
            Heartbeat(dialect),
            Words(dialect),
            Question(dialect, self._autopilot),
            ComputerStatus(dialect, settings.computer_s, computer),
            Values(dialect, settings.values_s),
            self._faces,
        )
        largest = max(topic.size for topic in self._topics)
        self._budget = Budget(settings.bytes_per_s, largest, clock_ns() / 1e9)

    @property
    def left_out(self) -> int:
        """Faces of readings that were not told, for lack of room in the budget."""
        return self._faces.left_out

    def take(self, record: Record) -> None:
        """Take a record."""
        for topic in self._topics:
            topic.take(record)

    def hear(self, content: bytes) -> None:
        """Take bytes that have come; those that are no MAVLink are passed over."""
        now_ns = self._clock_ns()
        for message in self._mav.parse_buffer(content) or ():
            self._autopilot.hear(message, now_ns)
        # pymavlink lets go of what it has parsed only when that ends with a whole message.
        if len(self._mav.buf) > _PARSED_BYTES:
            del self._mav.buf[: self._mav.buf_index]
            self._mav.buf_index = 0

    def say(self) -> tuple[list[bytes], float]:
        """Packets to send at once, and seconds after which to ask again unless something comes before."""
        packets: list[bytes] = []
        while True:
            now_ns = self._clock_ns()
            now_s = now_ns / 1e9
            next_s = min(topic.next_s - now_s for topic in self._topics if topic.next_s > now_s)
            topic = next((topic for topic in self._topics if topic.is_due(now_s)), None)
            # Faces ask for room for a full TUNNEL and need half of it, so what is more urgent goes at once.
            wait_s = self._budget.wait_s(topic.size, now_s) if topic is not None else next_s
            if topic is None or wait_s > 0:
                return packets, min(wait_s, next_s)
            packet = topic.make(now_ns).pack(self._mav)
            self._mav.seq = (self._mav.seq + 1) % 256
            self._budget.take(len(packet), now_s)
            packets.append(packet)

    def begin(self) -> None:
        """A link has come up: whoever listens is told of the faults there are, and not of what is long gone."""
        for topic in self._topics:
            topic.begin()
