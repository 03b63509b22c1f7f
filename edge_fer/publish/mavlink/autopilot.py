"""What the flight controller sends: its heartbeat, the vehicle's roll (ATTITUDE), and its clock (TIMESYNC)."""

from __future__ import annotations

import math
from types import ModuleType

from edge_fer.publish.attitude import Attitude
from edge_fer.publish.mavlink.timesync import Timesync
from edge_fer.publish.mavlink.topics import Message, Periodic, Topic

HEARTBEAT_TIMEOUT_S = 5.0
"""An autopilot that sent no heartbeat for so long gets no TIMESYNC requests."""

_REPLY_INTERVAL_NS = 200_000_000  # PX4 sends ten requests a second; a radio has no room for so many replies


class Autopilot:
    """Follows the autopilot of the own vehicle: the one with the same system id.

    Args:
        dialect: pymavlink's module of messages.
        system_id: the vehicle's.
        max_round_trip_ns: a TIMESYNC reply that took longer is not used, nanoseconds.
        attitude: gets the vehicle's roll.

    Attributes:
        timesync: follows the autopilot's clock.
        request: the time in a TIMESYNC request that has no reply yet; None: there is none.
    """

    def __init__(
        self, dialect: ModuleType, system_id: int, max_round_trip_ns: int, attitude: Attitude | None = None
    ) -> None:
        self._attitude = attitude or Attitude()
        self._no_autopilot, self._system_id = dialect.MAV_AUTOPILOT_INVALID, system_id
        self.timesync = Timesync(max_round_trip_ns)
        self.request: int | None = None
        self._component: int | None = None
        self._heartbeat_s = 0.0
        self._requested_ns = 0

    def receive(self, message: Message, now_ns: int) -> None:
        """Take a message of any kind.

        Args:
            message: the message.
            now_ns: when it came, CLOCK_MONOTONIC, nanoseconds.
        """
        kind, now_s = message.get_type(), now_ns / 1e9
        is_ours = message.get_srcSystem() == self._system_id
        if kind == "HEARTBEAT" and is_ours and message.autopilot != self._no_autopilot:
            if message.get_srcComponent() != self._component:
                self._component = message.get_srcComponent()
                self.timesync.reset()
            self._heartbeat_s = now_s
        elif kind == "TIMESYNC" and message.tc1 == 0:
            if now_ns - self._requested_ns >= _REPLY_INTERVAL_NS:
                self.request, self._requested_ns = message.ts1, now_ns
        elif not is_ours or message.get_srcComponent() != self._component:
            return
        elif kind == "ATTITUDE":
            self._attitude.add(now_ns, math.degrees(message.roll))
        elif kind == "TIMESYNC":
            self.timesync.reply_received(message.ts1, message.tc1, now_ns)

    def is_connected(self, now_s: float) -> bool:
        """Whether its heartbeat came lately.

        Args:
            now_s: CLOCK_MONOTONIC, seconds.
        """
        return self._component is not None and now_s - self._heartbeat_s <= HEARTBEAT_TIMEOUT_S


class TimesyncRequest(Periodic):
    """TIMESYNC once a second: a request for the autopilot's time."""

    def __init__(self, dialect: ModuleType, autopilot: Autopilot) -> None:
        super().__init__(dialect.MAVLink_timesync_message, every_s=1.0)
        self._autopilot = autopilot

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return super().is_due(now_s) and self._autopilot.is_connected(now_s)

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        self._done(now_ns / 1e9)
        self._autopilot.timesync.request_sent(now_ns)
        return self._message(0, now_ns)


class TimesyncReply(Topic):
    """TIMESYNC after a request: this computer's time."""

    def __init__(self, dialect: ModuleType, autopilot: Autopilot) -> None:
        super().__init__(dialect.MAVLink_timesync_message)
        self._autopilot = autopilot

    def is_due(self, now_s: float) -> bool:
        """See `Topic`."""
        return self._autopilot.request is not None

    def make(self, now_ns: int) -> Message:
        """See `Topic`."""
        request, self._autopilot.request = self._autopilot.request, None
        return self._message(now_ns, request)

    def on_link_up(self) -> None:
        """See `Topic`."""
        self._autopilot.request = None
