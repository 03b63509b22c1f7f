"""Labels for flight controllers and ground stations, over MAVLink 2 on UDP or a serial line.

    publish -> Talker (what is said, and when; `talk.py`) <-> thread <-> Link (`link.py`)

A thread of its own waits for what comes: TIMESYNC is of use only when it is answered, and its answers are timed, at
once. The protocol is described at https://mavlink.io/en/messages/common.html.
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
from edge_fer.publish.mavlink.computer import Computer
from edge_fer.publish.mavlink.link import Link, LinkDown
from edge_fer.publish.mavlink.open_link import open_link
from edge_fer.publish.mavlink.talk import Talker
from edge_fer.publish.mavlink.topics import Heartbeat
from edge_fer.schema import Record, SinkState, SinkStatus
from edge_fer.settings import MavlinkSettings
from edge_fer.types import Image

STOP_S = 6.0  # above RESOLVE_S: a name may be looked up
"""`Mavlink.close` waits so long for the thread, and raises when it has not ended."""

_log = logging.getLogger(__name__)


class Mavlink(Sink):
    """Tells of the newest reading, as much as the link's budget has room for.

    Args:
        settings: the link, who we are on it, how much may be said.
        clock_ns: CLOCK_MONOTONIC, nanoseconds.
        computer: looks at the box; null: at this one.

    Attributes:
        attitude: of the vehicle, as its autopilot tells.

    Raises:
        ConfigError: when pymavlink is missing.
    """

    name = "mavlink"

    def __init__(
        self,
        settings: MavlinkSettings,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        computer: Computer | None = None,
    ) -> None:
        assert settings.url is not None
        self._url = settings.url
        self.attitude = Attitude()
        self._talker = Talker(settings, dialect(), clock_ns, computer or Computer(), self.attitude)
        self._backoff = Backoff(settings.retry_s, settings.retry_max_s)
        self._talking = threading.Lock()  # around the talker, which may wait for a sensor
        self._lock = threading.Lock()  # around what follows, which must not wait for anything
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
        with self._talking:
            self._talker.take(record)
        os.eventfd_write(self._woken, 1)

    @property
    def condition(self) -> SinkStatus:
        """How the link is; from any thread."""
        with self._lock:
            return SinkStatus(self._state, self._sent, self._dropped, reason=self._reason)

    def close(self) -> None:
        """End the thread and close the link.

        Raises:
            OutputError: when the thread does not end in time.
        """
        self._stopping.set()
        os.eventfd_write(self._woken, 1)
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise OutputError(f"expected {self._url} to be let go within {STOP_S:g} s, found it stuck in a call")
        os.close(self._woken)
        if self._talker.left_out:
            _log.info("mavlink: %d faces were left out, as the budget had no room for them", self._talker.left_out)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with open_link(self._url) as link:
                    self._serve(link)
            except LinkDown as error:
                self._set("waiting", str(error))
            except Exception as error:  # nobody waits for this thread: it is told in `condition`
                if not isinstance(error, OutputError):
                    _log.exception("mavlink failed unexpectedly")
                self._set("failed", str(error) or type(error).__name__)
            self._stopping.wait(0 if self._stopping.is_set() else self._backoff.failed())

    def _serve(self, link: Link) -> None:
        """Talk and listen until asked to stop, or the link breaks off."""
        poll = select.poll()
        poll.register(link, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while not self._stopping.is_set():
            pause_s = self._say(link)
            for descriptor, _ in poll.poll(pause_s * 1e3):
                if descriptor == self._woken:
                    os.eventfd_read(self._woken)
                elif content := link.read():
                    with self._talking:
                        self._talker.hear(content)

    def _say(self, link: Link) -> float:
        """Say what is due, and return the seconds after which more may be."""
        if link.reason is not None:
            self._set("waiting", link.reason)
            return 1.0
        with self._talking:
            if self._state != "ok":
                self._talker.begin()
            packets, pause_s = self._talker.say()
        for packet in packets:
            link.write(packet)
        if packets:
            self._backoff.reset()
            self._set("ok", None)
        return pause_s

    def _set(self, state: SinkState, reason: str | None) -> None:
        with self._lock:
            self._state, self._reason = state, reason


def try_link(settings: MavlinkSettings) -> None:
    """Open the link once and send a heartbeat.

    Args:
        settings: the link.

    Raises:
        OutputError: when that does not work.
        ConfigError: when pymavlink is missing, or there is no link to check.
    """
    if settings.url is None:
        raise ConfigError("setting `publish.mavlink.url`: expected a link to check, found none")
    messages = dialect()
    heartbeat = Heartbeat(messages).make(time.monotonic_ns())
    with open_link(settings.url) as link:
        link.write(heartbeat.pack(messages.MAVLink(None, settings.system_id, settings.component_id)))


def dialect() -> ModuleType:
    """The messages of pymavlink. Its `mavutil` opens links, too, but prints, and hides what goes wrong.

    Raises:
        ConfigError: when it is missing.
    """
    try:
        from pymavlink.dialects.v20 import common
    except ImportError as error:
        raise ConfigError(
            f"publish.mavlink: expected pymavlink, found: {error}; pip install '.[mavlink]' in its checkout"
        ) from error
    module: ModuleType = common
    return module
