"""The flight controller as it is heard: whether it is there, its bank (ATTITUDE), its clock (TIMESYNC)."""

from __future__ import annotations

import math
from types import ModuleType

from edge_fer.publish.attitude import Attitude
from edge_fer.publish.mavlink.timesync import Timesync
from edge_fer.publish.mavlink.topics import Message, Periodic, Topic

SILENCE_S = 5.0
"""One whose heartbeat was not heard for so long is not asked for its time."""

_ANSWER_NS = 200_000_000  # at most so often: PX4 asks ten times a second, which a radio cannot afford


class Autopilot:
    """Listens to the autopilot of our vehicle: the one with our system id.

    Args:
        dialect: pymavlink's.
        system_id: of the vehicle.
        max_round_trip_ns: a TIMESYNC answer that took longer is not used.
        attitude: told how far the vehicle banks.

    Attributes:
        timesync: its clock.
        question: somebody's time that TIMESYNC asked ours with; null: nobody waits for an answer.
    """

    def __init__(
        self, dialect: ModuleType, system_id: int, max_round_trip_ns: int, attitude: Attitude | None = None
    ) -> None:
        self._attitude = attitude or Attitude()
        self._no_autopilot, self._system_id = dialect.MAV_AUTOPILOT_INVALID, system_id
        self.timesync = Timesync(max_round_trip_ns)
        self.question: int | None = None
        self._component: int | None = None
        self._heard_s = 0.0
        self._asked_ns = 0

    def hear(self, message: Message, now_ns: int) -> None:
        """Take a message that has come at that time, whatever it is."""
        kind, now_s = message.get_type(), now_ns / 1e9
        is_ours = message.get_srcSystem() == self._system_id
        if kind == "HEARTBEAT" and is_ours and message.autopilot != self._no_autopilot:
            if message.get_srcComponent() != self._component:
                self._component = message.get_srcComponent()
                self.timesync.forget()
            self._heard_s = now_s
        elif kind == "TIMESYNC" and message.tc1 == 0:
            if now_ns - self._asked_ns >= _ANSWER_NS:
                self.question, self._asked_ns = message.ts1, now_ns
        elif not is_ours or message.get_srcComponent() != self._component:
            return
        elif kind == "ATTITUDE":
            self._attitude.add(now_ns, math.degrees(message.roll))
        elif kind == "TIMESYNC":
            self.timesync.answered(message.ts1, message.tc1, now_ns)

    def is_there(self, now_s: float) -> bool:
        """Whether it was heard of late."""
        return self._component is not None and now_s - self._heard_s <= SILENCE_S


class Question(Periodic):
    """TIMESYNC once a second: what time is it?"""

    def __init__(self, dialect: ModuleType, autopilot: Autopilot) -> None:
        super().__init__(dialect.MAVLink_timesync_message, every_s=1.0)
        self._autopilot = autopilot

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return super().is_due(now_s) and self._autopilot.is_there(now_s)

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        self._done(now_ns / 1e9)
        self._autopilot.timesync.asked(now_ns)
        return self._message(0, now_ns)


class Answer(Topic):
    """TIMESYNC, when it was asked: this is my time."""

    def __init__(self, dialect: ModuleType, autopilot: Autopilot) -> None:
        super().__init__(dialect.MAVLink_timesync_message)
        self._autopilot = autopilot

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return self._autopilot.question is not None

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        question, self._autopilot.question = self._autopilot.question, None
        return self._message(now_ns, question)

    def begin(self) -> None:
        """See `Topic`."""
        self._autopilot.question = None
