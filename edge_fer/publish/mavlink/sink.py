"""The sink for MAVLink, and the thread that sends and receives.

    publish -> MessageScheduler (`scheduler.py`) <-> thread <-> Link (`link.py`)

A thread of its own waits for received bytes: TIMESYNC is useful only when requests are answered, and replies are timed,
at once. The protocol is described at https://mavlink.io/en/messages/common.html.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from types import ModuleType

from edge_fer.common.backoff import Backoff
from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish import Sink
from edge_fer.publish.attitude import Attitude
from edge_fer.publish.mavlink.computer import OnboardComputer
from edge_fer.publish.mavlink.faults import FAULT_INTERVAL_S
from edge_fer.publish.mavlink.link import Link, LinkDown
from edge_fer.publish.mavlink.open_link import open_link
from edge_fer.publish.mavlink.scheduler import MessageScheduler
from edge_fer.publish.mavlink.topics import Heartbeat
from edge_fer.schema import Record, SinkState, SinkStatus
from edge_fer.settings import MavlinkSettings
from edge_fer.types import Image

STOP_S = 6.0  # longer than `udp.RESOLVE_S`, since a host name may be looked up
"""`Mavlink.close` waits so long for the thread, and raises when it has not ended, seconds."""

_LAST_S = 0.5
"""So long faces that have left are still told of once the sink is closed."""

Opener = Callable[[str], Link]

_log = logging.getLogger(__name__)


class Mavlink(Sink):
    """Sends the newest reading, as much of it as the link's budget has room for.

    Args:
        settings: the link, the system and component id on it, and the budget.
        clock_ns: CLOCK_MONOTONIC, nanoseconds.
        computer: gives the state of this computer; None: read from the kernel.
        opener: opens the link by its url.
        stop_s: how long `close` waits for the thread, seconds.
        fault_interval_s: see `edge_fer.publish.mavlink.faults.Faults`.

    Attributes:
        attitude: the vehicle's, as its autopilot sends it.

    Raises:
        ConfigError: when pymavlink is missing.
    """

    name = "mavlink"

    def __init__(
        self,
        settings: MavlinkSettings,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        computer: OnboardComputer | None = None,
        opener: Opener = open_link,
        stop_s: float = STOP_S,
        fault_interval_s: float = FAULT_INTERVAL_S,
    ) -> None:
        assert settings.url is not None
        self._url, self._opener, self._stop_s = settings.url, opener, stop_s
        self.attitude = Attitude()
        self._scheduler = MessageScheduler(
            settings, dialect(), clock_ns, computer or OnboardComputer(), self.attitude, fault_interval_s
        )
        self._backoff = Backoff(settings.retry_s, settings.retry_max_s)
        self._scheduler_lock = threading.Lock()  # guards the scheduler, which may wait for a sensor
        self._lock = threading.Lock()  # guards the four below; held for moments only, since the loop reads them
        self._state: SinkState = "waiting"
        self._reason: str | None = None
        self._sent = self._dropped = 0
        self._stopping = threading.Event()
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="mavlink", daemon=True)
        self._thread.start()

    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record; see `edge_fer.publish.Sink.publish`. One that comes while the link is down is lost."""
        with self._lock:
            if self._state == "ok":
                self._sent += 1
            else:
                self._dropped += 1
        with self._scheduler_lock:
            self._scheduler.update(record)
        os.eventfd_write(self._woken, 1)

    @property
    def condition(self) -> SinkStatus:
        """State of the link, and counters."""
        with self._lock:
            return SinkStatus(self._state, self._sent, self._dropped, reason=self._reason)

    def close(self) -> None:
        """End the thread and close the link.

        Raises:
            OutputError: when the thread does not end in time.
        """
        self._stopping.set()
        os.eventfd_write(self._woken, 1)
        self._thread.join(self._stop_s)
        if self._thread.is_alive():
            raise OutputError(f"expected {self._url} to be let go within {self._stop_s:g} s, found it stuck in a call")
        os.close(self._woken)
        if left_out := self._scheduler.left_out:  # the thread has ended, so no lock is needed
            _log.info("mavlink: %d faces were left out, as the budget had no room for them", left_out)
        if left_out := self._scheduler.left_out_tracks:
            _log.info("mavlink: what was seen of %d faces that had left was not sent: there was no time", left_out)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._opener(self._url) as link:
                    self._serve(link)
            except LinkDown as error:
                self._set("waiting", str(error))
            except Exception as error:  # no other thread waits for this one: `condition` shows the error
                if not isinstance(error, OutputError):
                    _log.exception("mavlink failed unexpectedly")
                self._set("failed", str(error) or type(error).__name__)
            self._stopping.wait(0 if self._stopping.is_set() else self._backoff.failed())

    def _serve(self, link: Link) -> None:
        """Send and receive until the sink is closed or the link breaks."""
        poll = select.poll()
        poll.register(link, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while not self._stopping.is_set():
            pause_s = self._send_due(link)
            for descriptor, _ in poll.poll(pause_s * 1e3):
                if descriptor == self._woken:
                    os.eventfd_read(self._woken)
                elif content := link.read():
                    with self._scheduler_lock:
                        self._scheduler.receive(content)
        self._send_last(link)

    def _send_last(self, link: Link) -> None:
        """Send what was seen of the faces that were in view as the run ended, as far as the budget goes."""
        end = time.monotonic() + _LAST_S
        while self._scheduler.has_tracks and time.monotonic() < end:
            time.sleep(min(self._send_due(link), 0.05))

    def _send_due(self, link: Link) -> float:
        """Send the packets that are due, and return the seconds after which there may be more."""
        if link.reason is not None:
            self._set("waiting", link.reason)
            return 1.0
        with self._scheduler_lock:
            if self._state != "ok":  # read without its lock: this thread alone writes it
                self._scheduler.on_link_up()
            packets, pause_s = self._scheduler.due_packets()
        for packet in packets:
            link.write(packet)
        if packets:
            self._backoff.reset()
            self._set("ok", None)
        return pause_s

    def _set(self, state: SinkState, reason: str | None) -> None:
        with self._lock:
            self._state, self._reason = state, reason


def try_link(settings: MavlinkSettings, opener: Opener = open_link) -> None:
    """Open the link once and send a heartbeat.

    Args:
        settings: the link.
        opener: opens the link by its url.

    Raises:
        OutputError: when that does not work.
        ConfigError: when pymavlink is missing, or there is no link to check.
    """
    if settings.url is None:
        raise ConfigError("setting `publish.mavlink.url`: expected a link to check, found none")
    messages = dialect()
    heartbeat = Heartbeat(messages).make(time.monotonic_ns())
    with opener(settings.url) as link:
        link.write(heartbeat.pack(messages.MAVLink(None, settings.system_id, settings.component_id)))


def dialect() -> ModuleType:
    """Import the messages of pymavlink; its `mavutil`, which also opens links, prints text and hides errors.

    Raises:
        ConfigError: when pymavlink is missing.
    """
    try:
        from pymavlink.dialects.v20 import common
    except ImportError as error:
        raise ConfigError(
            f"publish.mavlink: expected pymavlink, found: {error}; pip install '.[mavlink]' in its checkout"
        ) from error
    module: ModuleType = common
    return module
