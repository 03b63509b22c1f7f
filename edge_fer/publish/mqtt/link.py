"""The link to a broker: a thread that dials, hands messages over, counts acknowledgements, and dials again."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge_fer.common.backoff import Backoff
from edge_fer.publish.mqtt.buffer import Buffer, Message, PendingRecord, RetainedMessages
from edge_fer.publish.mqtt.client import Connection, LinkError
from edge_fer.schema import SinkState

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

FLUSH_S = 2.0
"""`Link.close` waits so long for what is still to be sent; then so long for the thread to take leave:"""
LEAVE_S = 0.5

_IDLE_S = 1.0  # the keep-alive is looked after so often
_STEADY_S = 10.0  # a link that has held for so long is dialled again soon when it breaks; a refusal that old is over
_SHOW_AGAIN_S = 5.0
_OVERHEAD = 16  # bytes of a PUBLISH packet besides topic and payload, at most

_log = logging.getLogger(__name__)


class Link:
    """Empties a buffer and a retained into a broker, whenever there is one.

    A record that was handed over stays in the buffer until the broker has acknowledged it. After a break, handshakes
    go on where they stopped if the broker remembers them; if it does not, or at QoS 0, everything that was not
    acknowledged is sent again, in order, before all that waits.

    Args:
        connection: to the broker.
        buffer: records, to be published at `qos`.
        retained: what should stand there, published retained at QoS 1, and again whenever the link is new.
        qos: 0, 1 or 2.
        in_flight: messages that are sent and not yet acknowledged, at most.
        retry_s: pause before the broker is tried again, doubled each time, seconds.
        retry_max_s: longest pause, taken at once where somebody has to mend something, seconds.
        birth: topic on which somebody says `online` who wants everything on the retained again; null: nobody.
        clock: seconds that never go backwards.
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
    ) -> None:
        self._connection, self._buffer, self._retained = connection, buffer, retained
        self._qos, self._in_flight, self._retry_max_s, self._birth = qos, in_flight, retry_max_s, birth
        self._clock, self._backoff = clock, Backoff(retry_s, retry_max_s, clock)
        self._pending: dict[int, tuple[Message, PendingRecord | None]] = {}  # by message id; null: it is the retained's
        self._refused_at: float | None = None  # when the broker did not want a message, until it has taken all for long
        self._show_again_at = math.inf  # when what it did not want on the retained is shown again
        self.condition: tuple[SinkState, str | None] = ("waiting", None)  # without a reason: not tried yet
        self._stopping = threading.Event()
        self._settled = threading.Condition()
        self._wake, self._nudge = socket.socketpair()
        self._nudge.setblocking(False)
        self._wake.setblocking(False)
        connection.client.on_publish = self._on_publish
        connection.client.on_subscribe = self._on_subscribe
        connection.client.on_message = self._on_message
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have a look at the buffer and the retained now."""
        with contextlib.suppress(BlockingIOError):  # then it is being woken already
            self._nudge.send(b"\0")

    def close(self) -> None:
        """Send what waits, within seconds, and take leave with the connection's will; may be called again."""
        if self._stopping.is_set():
            return
        self.wake()
        with self._settled:
            self._settled.wait_for(lambda: self._is_done or self._is_shut_out, FLUSH_S)
        self._stopping.set()
        self.wake()
        self._thread.join(LEAVE_S)
        if not self._thread.is_alive():  # else it waits for a name server, and ends with the process
            self._wake.close()
            self._nudge.close()
        waiting = self._buffer.counts[2]
        if waiting:
            _log.warning("mqtt: %d records were not acknowledged before the end, and are lost", waiting)

    @property
    def _is_done(self) -> bool:
        """Whether the broker has all there is; without a link what stands on the retained is not waited for."""
        is_shown = self._retained.is_done and not self._pending
        return self._buffer.counts[2] == 0 and (is_shown or self.condition[0] == "waiting")

    @property
    def _is_shut_out(self) -> bool:
        """Whether there is no link until somebody mends something; where a message was refused there is one."""
        return self.condition[0] == "failed" and self._refused_at is None

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
            self._hand_over()
            self._connection.turn(_IDLE_S, self._wake)
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(4096)

    def _pause(self, error: LinkError, held_s: float) -> None:
        # Mosquitto 2.0 ends the link of whoever published what he may not: that reason is the one to be told.
        if self._refused_at is None or error.lasting:
            self.condition = ("failed" if error.lasting else "waiting", str(error))
        if held_s >= _STEADY_S:
            self._backoff.reset()
        pause = self._backoff.failed()
        self._stopping.wait(self._retry_max_s if self.condition[0] == "failed" else pause)

    def _begin(self, *, resumed: bool) -> None:
        self._retained.renew()
        if not resumed or self._qos == 0:
            self._pending.clear()
            self._buffer.rewind()
        if self._birth is not None:
            self._connection.client.subscribe(self._birth, qos=1)
        if self._refused_at is None:
            self.condition = ("ok", None)

    def _hand_over(self) -> None:
        """Give paho what there is, as long as the window has room."""
        if self._clock() >= self._show_again_at:
            self._show_again_at = math.inf
            self._retained.renew()
        window = min(self._in_flight, self._connection.window)
        while len(self._pending) < window:
            with self._settled:  # whoever waits for the end sees a message as due or as pending, never as neither
                if (notice := self._retained.take()) is not None:
                    self._publish(notice, 1, None)
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
        self._pending[sent.mid] = message, record

    def _on_publish(self, _client: Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        if mid in self._pending:
            self._settle(*self._pending.pop(mid), str(code).lower() if code.is_failure else None)

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        if self._birth is not None and codes[0].is_failure:
            self._refuse(self._birth, str(codes[0]).lower())

    def _settle(self, message: Message, record: PendingRecord | None, refusal: str | None) -> None:
        """Note that a message is through, or why the broker does not want it."""
        self._connection.fruitless = 0
        if record is not None:
            self._buffer.settle(record, message, refused=refusal is not None)
        if refusal is not None:
            self._refuse(message.topic, refusal)
            if record is None:
                self._show_again_at = self._clock() + _SHOW_AGAIN_S
        elif self._refused_at is not None and self._clock() - self._refused_at >= _STEADY_S:
            self._refused_at = None
            self.condition = ("ok", None)
        with self._settled:
            self._settled.notify_all()

    def _refuse(self, topic: str, why: str) -> None:
        self._refused_at = self._clock()
        self.condition = (
            "failed",
            f"expected the broker to allow {topic}, found: {why}; mend its rules or limits, or publish.mqtt.prefix",
        )

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.payload == b"online":
            self._retained.renew()
