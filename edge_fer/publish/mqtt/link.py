"""The link to a broker: a thread that connects, sends messages, counts acknowledgements, and connects again."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_fer.common.backoff import Backoff
from edge_fer.publish.mqtt.buffer import Buffer, Message, PendingRecord, RetainedMessages
from edge_fer.publish.mqtt.client import Connection
from edge_fer.publish.mqtt.link_error import LinkError
from edge_fer.schema import SinkState

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

_OVERHEAD = 16  # bytes of a PUBLISH packet beside topic and payload, at most

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """Times that no setting changes, seconds; tests hand in shorter ones.

    Attributes:
        flush_s: how long `Link.close` waits for what is still to be sent.
        leave_s: how long it then waits for the thread to disconnect.
        idle_s: the keep-alive is checked so often.
        steady_s: a link that has held for so long is opened again soon when it breaks; and a refusal that is so old is
            over.
        resend_s: a retained message that the broker has refused is sent again after so long.
    """

    flush_s: float = 2.0
    leave_s: float = 0.5
    idle_s: float = 1.0
    steady_s: float = 10.0
    resend_s: float = 5.0


DEFAULT_TIMES = LinkTimes()


class Link:
    """Sends a buffer and the retained messages to a broker, whenever there is one.

    A record that was sent stays in the buffer until the broker has acknowledged it. After a break, handshakes go on
    where they stopped if the broker still has them. If it does not, or at QoS 0, everything that was not acknowledged
    is sent again, in order, before all that waits.

    Args:
        connection: the connection to the broker; used in the link's thread alone.
        buffer: records, to be published at `qos`.
        retained: messages to be published retained at QoS 1, and again whenever the link is new.
        qos: 0, 1 or 2.
        in_flight: messages that may be sent and not yet acknowledged.
        retry_s: pause before the next attempt to connect, doubled each time, seconds.
        retry_max_s: longest pause, seconds; used at once where a person must change something.
        birth: topic on which a subscriber that wants all retained messages again publishes `online`; None: there is
            none.
        clock: seconds that never go backwards.
        times: further times.
    """

    def __init__(
        self,
        connection: Connection,
        buffer: Buffer,
        retained: RetainedMessages,
        *,
        qos: int,
        in_flight: int,
        retry_s: float,
        retry_max_s: float,
        birth: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        times: LinkTimes = DEFAULT_TIMES,
    ) -> None:
        self._connection, self._buffer, self._retained = connection, buffer, retained
        self._qos, self._max_in_flight, self._retry_max_s, self._birth = qos, in_flight, retry_max_s, birth
        self._clock, self._backoff, self._times = clock, Backoff(retry_s, retry_max_s, clock), times
        self._resend_at = math.inf  # when the retained messages are sent again, since one was refused
        self._changed = threading.Condition()  # guards the three below, which the link's thread alone writes
        self._in_flight: dict[int, tuple[Message, PendingRecord | None]] = {}  # by message id; None: it is retained
        self._refused_at: float | None = None  # when the broker last refused a message; None: it takes all of them
        self._condition: tuple[SinkState, str | None] = ("waiting", None)  # without a reason: not tried yet
        self._stopping = threading.Event()
        self._wake, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._wake.setblocking(False)
        connection.client.on_publish = self._on_publish
        connection.client.on_subscribe = self._on_subscribe
        connection.client.on_message = self._on_message
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def condition(self) -> tuple[SinkState, str | None]:
        """The state, and the reason where it is not `ok`; read in any thread."""
        with self._changed:
            return self._condition

    def wake(self) -> None:
        """Let the link's thread send what is new; from any thread."""
        with contextlib.suppress(BlockingIOError):  # then it is being woken already
            self._waker.send(b"\0")

    def close(self) -> None:
        """Send what waits, within seconds, and disconnect with the connection's will; may be called again."""
        if self._stopping.is_set():
            return
        self.wake()
        with self._changed:
            self._changed.wait_for(lambda: self._is_done or self._is_shut_out, self._times.flush_s)
        self._stopping.set()
        self.wake()
        self._thread.join(self._times.leave_s)
        if not self._thread.is_alive():  # else it waits for a name server, and ends with the process
            self._wake.close()
            self._waker.close()
        waiting = self._buffer.counts[2]
        if waiting:
            _log.warning("mqtt: %d records were not acknowledged before the end, and are lost", waiting)

    @property
    def _is_done(self) -> bool:
        """Whether the broker has everything; without a link, retained messages are not waited for."""
        is_retained = self._retained.is_empty and not self._in_flight
        return self._buffer.counts[2] == 0 and (is_retained or self._condition[0] == "waiting")

    @property
    def _is_shut_out(self) -> bool:
        """Whether there is no link until a person changes something; after a refused message there is one."""
        return self._condition[0] == "failed" and self._refused_at is None

    def _run(self) -> None:
        while not self._stopping.is_set():
            begun = self._clock()
            try:
                self._begin(resumed=self._connection.open())
                self._serve()
            except LinkError as error:
                self._pause(error, held_s=self._clock() - begun)
            except Exception as error:
                _log.exception("mqtt failed unexpectedly")
                self._pause(LinkError(str(error) or type(error).__name__, lasting=True), held_s=0)
        self._connection.close(with_will=True)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._send_waiting()
            self._connection.process(self._times.idle_s, self._wake)
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(4096)

    def _pause(self, error: LinkError, held_s: float) -> None:
        # Mosquitto 2.0 ends the link after a message that is not allowed: then the refusal stays the reason.
        if self._refused_at is None or error.lasting:
            self._set_condition("failed" if error.lasting else "waiting", str(error))
        if held_s >= self._times.steady_s:
            self._backoff.reset()
        pause = self._backoff.failed()
        self._stopping.wait(self._retry_max_s if self._condition[0] == "failed" else pause)

    def _begin(self, *, resumed: bool) -> None:
        self._retained.republish()
        if not resumed or self._qos == 0:
            with self._changed:
                self._in_flight.clear()
            self._buffer.rewind()
        if self._birth is not None:
            self._connection.client.subscribe(self._birth, qos=1)
        if self._refused_at is None:
            self._set_condition("ok", None)

    def _send_waiting(self) -> None:
        """Give paho the messages that wait, as long as the window has room."""
        if self._clock() >= self._resend_at:
            self._resend_at = math.inf
            self._retained.republish()
        window = min(self._max_in_flight, self._connection.window)
        while len(self._in_flight) < window:
            with self._changed:  # so that `close` sees a message either as waiting or as in flight, never as neither
                if (message := self._retained.take()) is not None:
                    self._publish(message, 1, None)
                elif (taken := self._buffer.take()) is not None:
                    record, message = taken
                    self._publish(message, self._qos, record)
                else:
                    return

    def _publish(self, message: Message, qos: int, record: PendingRecord | None) -> None:
        length = len(message.topic.encode()) + len(message.payload) + _OVERHEAD
        if length > self._connection.max_packet:
            self._settle(message, record, f"its {length} bytes are more than it takes")
            return
        sent = self._connection.client.publish(message.topic, message.payload, qos, retain=record is None)
        self._in_flight[sent.mid] = message, record

    def _on_publish(self, _client: Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        with self._changed:
            if mid in self._in_flight:
                self._settle(*self._in_flight.pop(mid), str(code).lower() if code.is_failure else None)

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        if self._birth is not None and codes[0].is_failure:
            self._refuse(self._birth, str(codes[0]).lower())

    def _settle(self, message: Message, record: PendingRecord | None, refusal: str | None) -> None:
        """Note that a message was acknowledged, or why the broker refused it; called with the lock held."""
        self._connection.failed_resumes = 0
        if record is not None:
            self._buffer.settle(record, message, refused=refusal is not None)
        if refusal is not None:
            self._refuse(message.topic, refusal)
            if record is None:
                self._resend_at = self._clock() + self._times.resend_s
        elif self._refused_at is not None and self._clock() - self._refused_at >= self._times.steady_s:
            self._refused_at = None
            self._set_condition("ok", None)
        self._changed.notify_all()

    def _refuse(self, topic: str, why: str) -> None:
        with self._changed:
            self._refused_at = self._clock()
            self._set_condition(
                "failed",
                f"expected the broker to allow {topic}, found: {why}; mend its rules or limits, or publish.mqtt.prefix",
            )

    def _set_condition(self, state: SinkState, reason: str | None) -> None:
        with self._changed:
            self._condition = state, reason
            self._changed.notify_all()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.payload == b"online":
            self._retained.republish()
