"""Records to an MQTT broker. The topics and what is promised of them: docs/mqtt.md."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping

from edge_fer.common import sensors
from edge_fer.publish import Sink
from edge_fer.publish.mqtt.buffer import Buffer, Message, RetainedMessages
from edge_fer.publish.mqtt.client import Connection
from edge_fer.publish.mqtt.homeassistant import Summary, discovery
from edge_fer.publish.mqtt.identity import default_client_id, fitting
from edge_fer.publish.mqtt.link import Link
from edge_fer.schema import Reading, Record, SinkStatus, Status, faces_to_json, to_json
from edge_fer.settings import MqttSettings
from edge_fer.types import Image

ONLINE, OFFLINE = b"online", b"offline"
"""What the topic `availability` says."""

_SESSION_S = 86_400.0  # handshakes are remembered by the broker so long at least, seconds
_UNFIT = r"[+#/\0]"  # for one level of a topic


class Mqtt(Sink):
    """Publishes each record; see `Link` for what happens when the broker goes away.

    Args:
        settings: where, and how.
        device: name of the box.
        notice: told to the people concerned; null: nothing.
        clock: seconds that never go backwards.
        temperatures: degrees Celsius by sensor, for Home Assistant.

    Raises:
        ConfigError: when paho-mqtt is missing, or a file that the settings name cannot be used.
    """

    name = "mqtt"

    def __init__(
        self,
        settings: MqttSettings,
        device: str,
        notice: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        temperatures: Callable[[], Mapping[str, float]] = sensors.temperatures,
    ) -> None:
        self._settings = settings
        self._prefix = settings.prefix.replace("{device}", fitting(device, _UNFIT))
        self._next_reading_ns = 0.0
        self._summary = Summary(temperatures, clock) if settings.homeassistant else None
        self._buffer, self._retained = Buffer(settings.buffer_mb * 1e6, settings.buffer_s, clock), RetainedMessages()
        self._retained.put(self._message("availability", ONLINE))
        self._retained.put(self._message("privacy", (notice or "").encode()))
        birth = None
        if settings.homeassistant:
            birth = f"{settings.homeassistant_prefix}/status"
            topics = self._topic("summary"), self._topic("state"), self._topic("availability")
            for message in discovery(device, settings.homeassistant_prefix, *topics):
                self._retained.put(message)
        connection = Connection(
            settings,
            settings.client_id or default_client_id(device),
            session_s=max(settings.buffer_s, _SESSION_S),
            will=self._message("availability", OFFLINE),
        )
        self._link = Link(
            connection,
            self._buffer,
            self._retained,
            qos=settings.qos,
            in_flight=settings.in_flight,
            retry_s=settings.retry_s,
            retry_max_s=settings.retry_max_s,
            birth=birth,
            clock=clock,
        )

    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record; see `edge_fer.publish.Sink.publish`."""
        if isinstance(record, Status) or self._is_due(record):
            payload = to_json(record).encode()
            self._buffer.put(list(self._messages(record, payload)))
            if isinstance(record, Status):
                self._retained.put(self._message("state", payload))
        if self._summary is not None and (summary := self._summary.take(record)) is not None:
            self._retained.put(self._message("summary", summary))
        self._link.wake()

    @property
    def condition(self) -> SinkStatus:
        """How the link is, and what became of the records."""
        state, reason = self._link.condition
        sent, dropped, waiting = self._buffer.counts
        return SinkStatus(state, sent, dropped, waiting, reason)

    def close(self) -> None:
        """Send what waits, and take leave of the broker, which says `offline`; within three seconds."""
        self._link.close()

    def _messages(self, record: Record, payload: bytes) -> Iterator[Message]:
        if isinstance(record, Status):
            yield self._message("status", payload)
            return
        yield self._message("reading", payload)
        if self._settings.faces:
            for number, text in faces_to_json(record).items():
                yield self._message(f"face/{number}", text.encode())

    def _is_due(self, reading: Reading) -> bool:
        """Whether a reading may go without exceeding the rate, by the time of its capture."""
        if self._settings.max_rate_hz is None:
            return True
        pause_ns, late_ns = 1e9 / self._settings.max_rate_hz, reading.captured_ns - self._next_reading_ns
        if late_ns < 0:
            return False
        # One that comes a little late does not delay those that follow.
        self._next_reading_ns += pause_ns if late_ns < pause_ns else late_ns + pause_ns
        return True

    def _topic(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _message(self, name: str, payload: bytes) -> Message:
        return Message(self._topic(name), payload)


def try_broker(settings: MqttSettings) -> None:
    """Try once whether the broker lets us in.

    Raises:
        ConfigError: when paho-mqtt is missing, or a file that the settings name cannot be used.
        OutputError: when it does not.
    """
    # Under a name of its own: the one of the service would throw it out, if it runs.
    connection = Connection(settings, f"edge-fer-check-{uuid.uuid4().hex[:8]}")
    connection.open()
    connection.close()
