"""What the flight controller sends: its heartbeat, the vehicle's roll (ATTITUDE), and its clock (TIMESYNC)."""

from __future__ import annotations

import logging
import math
from types import ModuleType

from edge_fer.publish.attitude import Attitude
from edge_fer.publish.mavlink.timesync import Timesync
from edge_fer.publish.mavlink.topics import Message, Periodic, Topic

HEARTBEAT_TIMEOUT_S = 5.0
"""An autopilot that sent no heartbeat for so long gets no TIMESYNC requests."""

_FLIGHT_CONTROLLER = 1  # MAV_COMP_ID_AUTOPILOT1
_MAX_ROLL = math.tau  # MAVLink has -pi..pi, radians; what is farther off, or not a number, is no roll
_MOST_TOLD = 4  # components that claim to be an autopilot, before no more of them are logged
_REPLY_INTERVAL_NS = 200_000_000  # PX4 sends ten requests a second; a radio has no room for so many replies

_log = logging.getLogger(__name__)


class Autopilot:
    """Follows the flight controller of the own vehicle, the one with the same system id.

    Other components may claim in their heartbeats to be an autopilot: gimbals and camera managers do. Component 1 is
    the flight controller once a heartbeat of it has come. Where there is none, the first that claims to be one is
    followed while its heartbeats come, but for one that answers a TIMESYNC request when that one does not.

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
        self._heard_s: dict[int, float] = {}  # by component that claims to be an autopilot: its last heartbeat
        self._answered_s = -math.inf  # when the component that is followed last answered
        self._requested_ns = 0

    def receive(self, message: Message, now_ns: int) -> None:
        """Take a message of any kind.

        Args:
            message: the message.
            now_ns: when it came, CLOCK_MONOTONIC, nanoseconds.
        """
        kind, now_s = message.get_type(), now_ns / 1e9
        is_ours, component = message.get_srcSystem() == self._system_id, message.get_srcComponent()
        if kind == "HEARTBEAT" and is_ours and message.autopilot != self._no_autopilot:
            self._heartbeat(component, now_s)
        elif kind == "TIMESYNC" and message.tc1 == 0:
            if now_ns - self._requested_ns >= _REPLY_INTERVAL_NS:
                self.request, self._requested_ns = message.ts1, now_ns
        elif kind == "TIMESYNC" and is_ours:
            self._answer(component, message, now_ns)
        elif kind == "ATTITUDE" and is_ours and component == self._component and abs(message.roll) <= _MAX_ROLL:
            self._attitude.add(now_ns, math.degrees(message.roll))

    def is_connected(self, now_s: float) -> bool:
        """Whether its heartbeat came lately.

        Args:
            now_s: CLOCK_MONOTONIC, seconds.
        """
        return self._component is not None and self._is_present(self._component, now_s)

    def _heartbeat(self, component: int, now_s: float) -> None:
        is_new = component not in self._heard_s
        self._heard_s[component] = now_s
        if _FLIGHT_CONTROLLER in self._heard_s:
            self._follow(_FLIGHT_CONTROLLER)
        elif self._component is None or not self._is_present(self._component, now_s):
            self._follow(component)
        if is_new and 1 < len(self._heard_s) <= _MOST_TOLD:
            _log.warning(
                "mavlink: components %s of system %d all claim to be an autopilot, and component %d is followed; "
                "let the others send MAV_AUTOPILOT_INVALID",
                ", ".join(map(str, sorted(self._heard_s))), self._system_id, self._component,
            )  # fmt: skip

    def _answer(self, component: int, message: Message, now_ns: int) -> None:
        """Take the answer to a request, which all components have received."""
        is_silent = now_ns / 1e9 - self._answered_s > HEARTBEAT_TIMEOUT_S
        is_candidate = component in self._heard_s and self._component != _FLIGHT_CONTROLLER
        if not self.timesync.has_asked(message.ts1):
            return
        if is_candidate and is_silent:
            self._follow(component)
        if component == self._component:
            self._answered_s = now_ns / 1e9
            self.timesync.reply_received(message.ts1, message.tc1, now_ns)

    def _follow(self, component: int) -> None:
        if component != self._component:
            self._component, self._answered_s = component, -math.inf
            self.timesync.reset()

    def _is_present(self, component: int, now_s: float) -> bool:
        return now_s - self._heard_s[component] <= HEARTBEAT_TIMEOUT_S


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
