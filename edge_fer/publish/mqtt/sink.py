"""The sink for MQTT: which messages a record becomes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

from edge_fer.common import sensors
from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.publish.mqtt import link_error
from edge_fer.publish.mqtt.buffer import Buffer, Message, PendingRecord, RetainedMessages
from edge_fer.publish.mqtt.claim import Claim
from edge_fer.publish.mqtt.client import CONNECT_S, Connection
from edge_fer.publish.mqtt.homeassistant import Summary, discovery
from edge_fer.publish.mqtt.identity import default_client_id, fitting
from edge_fer.publish.mqtt.link import Link
from edge_fer.publish.mqtt.link_times import DEFAULT_TIMES, LinkTimes
from edge_fer.schema import Reading, Record, SinkStatus, Status, TrackRecord, faces_to_json, to_json
from edge_fer.settings import MqttSettings
from edge_fer.types import Image

ONLINE, OFFLINE = b"online", b"offline"
"""Payloads of the topic `availability`."""

_TOPICS: dict[type[Record], str] = {Reading: "reading", Status: "status", TrackRecord: "track"}

_SESSION_S = 86_400.0  # the broker keeps handshakes for at least so long, seconds
_UNFIT = r"[+#/\0]"  # characters that one level of a topic cannot have


class Mqtt(Sink):
    """Publishes each record; see `Link` for what happens when the broker goes away.

    Args:
        settings: the broker, the topics and the rates.
        device: the box's name.
        notice: the notice to the people who are filmed; None: none.
        clock: seconds that never go backwards.
        temperatures: gives degrees Celsius by sensor, for Home Assistant.
        times: see `Link`.

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
        times: LinkTimes = DEFAULT_TIMES,
    ) -> None:
        self._settings = settings
        self._prefix = _topic(settings, device, "")
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
            client_id_of(settings, device),
            session_s=max(settings.buffer_s, _SESSION_S),
            will=self._message("availability", OFFLINE),
        )
        self._link = Link(
            connection,
            self._buffer,
            self._retained,
            settings,
            claim=Claim(connection.place, connection.client_id),
            birth=birth,
            clock=clock,
            times=times,
        )

    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record; see `edge_fer.publish.Sink.publish`."""
        if not isinstance(record, Reading) or self._is_due(record):
            payload = to_json(record).encode()
            self._buffer.put(list(self._messages(record, payload)))
            if isinstance(record, Status):
                self._retained.put(self._message("state", payload))
        if self._summary is not None and (summary := self._summary.take(record)) is not None:
            self._retained.put(self._message("summary", summary))
        self._link.wake()

    @property
    def condition(self) -> SinkStatus:
        """State of the link, and counters of the records; the two may be of slightly different moments."""
        state, reason = self._link.condition
        sent, dropped, waiting = self._buffer.counts
        return SinkStatus(state, sent, dropped, waiting, reason)

    def close(self) -> None:
        """Send what waits, and disconnect, so that the broker publishes `offline`; within three seconds."""
        self._link.close()

    def take_unsent(self) -> Sequence[PendingRecord]:
        """What the broker has not acknowledged; see `edge_fer.publish.Sink.take_unsent`."""
        return self._buffer.take_all()

    def resume(self, unsent: Sequence[PendingRecord]) -> None:
        """Send these records first, on the topics that they were for; see `edge_fer.publish.Sink.resume`."""
        self._buffer.resume(unsent)
        self._link.wake()

    def _messages(self, record: Record, payload: bytes) -> Iterator[Message]:
        yield self._message(_TOPICS[type(record)], payload)
        if isinstance(record, Reading) and self._settings.faces:
            for number, text in faces_to_json(record).items():
                yield self._message(f"face/{number}", text.encode())

    def _is_due(self, reading: Reading) -> bool:
        """Whether a reading may be published without exceeding the rate, by the times of capture."""
        if self._settings.max_rate_hz is None:
            return True
        pause_ns, late_ns = 1e9 / self._settings.max_rate_hz, reading.captured_ns - self._next_reading_ns
        if late_ns < 0:
            return False
        # A reading that is a little late does not delay those after it.
        self._next_reading_ns += pause_ns if late_ns < pause_ns else late_ns + pause_ns
        return True

    def _topic(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _message(self, name: str, payload: bytes) -> Message:
        return Message(self._topic(name), payload)


def try_broker(
    settings: MqttSettings, device: str, connect_s: float = CONNECT_S, times: LinkTimes = DEFAULT_TIMES
) -> None:
    """Try once what a run does: connect with a last will, publish, retained and not, and wait for acknowledgements.

    All messages are empty and on the topic `check`: nothing of them stays at the broker.

    Args:
        settings: the broker, the topics and this box's credentials.
        device: the box's name.
        connect_s: how long each step of connecting may take, seconds.
        times: see `Link`.

    Raises:
        ConfigError: when paho-mqtt is missing, or a file that the settings name cannot be used.
        OutputError: when the broker cannot be reached, or does not take the messages.
    """
    message = Message(_topic(settings, device, "check"), b"")
    # With a client id of its own: with the service's, the broker would disconnect the service if that runs.
    client_id = f"{client_id_of(settings, device)}-check-{uuid.uuid4().hex[:8]}"
    connection = Connection(settings, client_id, will=message, connect_s=connect_s)
    buffer, retained = Buffer(1e6, 3600), RetainedMessages()
    buffer.put([message])
    retained.put(message)
    birth = f"{settings.homeassistant_prefix}/status" if settings.homeassistant else None
    link = Link(connection, buffer, retained, settings, birth=birth, times=times)
    is_settled = link.wait(3 * connect_s + times.quiet_s)
    reason = link.condition[1]
    link.close(flush=False)
    if reason is not None:
        raise OutputError(reason)
    if not is_settled:
        raise link_error.no_broker(connection.place, "no answer")


def client_id_of(settings: MqttSettings, device: str) -> str:
    """The client id of a run.

    Args:
        settings: the settings, which may leave it to the default.
        device: the box's name.
    """
    return settings.client_id or default_client_id(device)


def _topic(settings: MqttSettings, device: str, name: str) -> str:
    return f"{settings.prefix.replace('{device}', fitting(device, _UNFIT))}/{name}"
