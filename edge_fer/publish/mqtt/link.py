"""The link to a broker: a thread that connects, sends messages, counts acknowledgements, and connects again."""

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
from edge_fer.publish.mqtt import link_error
from edge_fer.publish.mqtt.buffer import Buffer, Message, PendingRecord, RetainedMessages
from edge_fer.publish.mqtt.claim import Claim
from edge_fer.publish.mqtt.client import Connection
from edge_fer.publish.mqtt.link_error import LinkError
from edge_fer.publish.mqtt.link_times import DEFAULT_TIMES, LinkTimes
from edge_fer.publish.mqtt.rivals import Rivals
from edge_fer.schema import SinkState
from edge_fer.settings import MqttSettings

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

_OVERHEAD = 16  # bytes of a PUBLISH packet beside topic and payload, at most

_log = logging.getLogger(__name__)


class Link:
    """Sends a buffer and the retained messages to a broker, whenever there is one.

    A record that was sent stays in the buffer until the broker has acknowledged it. After a break, handshakes go on
    where they stopped if the broker still has them. If it does not, or at QoS 0, everything that was not acknowledged
    is sent again, in order, before all that waits.

    Args:
        connection: the connection to the broker; used in the link's thread alone.
        buffer: records, to be published at the settings' QoS.
        retained: messages to be published retained at QoS 1, and again whenever the link is new.
        settings: QoS, retention, messages in flight, keep-alive and pauses.
        claim: held for as long as the link's thread lives; while another has it, nobody is connected; None: none.
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
        settings: MqttSettings,
        *,
        claim: Claim | None = None,
        birth: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        times: LinkTimes = DEFAULT_TIMES,
    ) -> None:
        self._connection, self._buffer, self._retained = connection, buffer, retained
        self._settings, self._claim, self._birth = settings, claim, birth
        self._clock, self._times = clock, times
        self._backoff = Backoff(settings.retry_s, settings.retry_max_s, clock)
        self._rivals = Rivals(settings.retry_max_s)
        self._silent_s = times.silent_s or 2.0 * settings.keepalive_s
        self._resend_at = math.inf  # when the retained messages are sent again, since one was refused
        self._owed_since = 0.0  # since when the broker has acknowledged nothing, while `_owes`
        self._is_refused = False  # whether the broker has refused a message on this link
        self._doubt_s = 0.0  # how long the next link must hold before it is well
        self._well_from = -math.inf  # no sooner is an acknowledgement a sign that all is well
        self._changed = threading.Condition()  # guards the three below, which the link's thread alone writes
        self._in_flight: dict[int, tuple[Message, PendingRecord | None]] = {}  # by message id; None: it is retained
        self._linked_at: float | None = None  # since when there is a link; None: there is none
        self._condition: tuple[SinkState, str | None] = ("waiting", None)  # without a reason: not tried yet
        self._stopping = threading.Event()
        self._wake, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._wake.setblocking(False)
        connection.stopping = self._stopping
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

    def close(self, *, flush: bool = True) -> None:
        """Disconnect with the connection's will; may be called again.

        Args:
            flush: whether to send what waits before that, within seconds.
        """
        if self._stopping.is_set():
            return
        self.wake()
        with self._changed:
            self._changed.wait_for(lambda: self._is_done or self._is_shut_out, self._times.flush_s * flush)
        self._stopping.set()
        self.wake()
        self._thread.join(self._times.leave_s)
        if not self._thread.is_alive():  # else it waits for a name server, and ends with the process
            self._wake.close()
            self._waker.close()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the broker has acknowledged everything, or something is wrong.

        Args:
            timeout_s: how long at most, seconds.

        Returns:
            Whether it came to that.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._is_acknowledged or self._condition[1] is not None, timeout_s)

    @property
    def _is_acknowledged(self) -> bool:
        return self._retained.is_empty and not self._in_flight and self._buffer.counts[2] == 0

    @property
    def _is_done(self) -> bool:
        """Whether the broker has everything; without a link, retained messages are not waited for."""
        return self._is_acknowledged or (self._buffer.counts[2] == 0 and self._linked_at is None)

    @property
    def _is_shut_out(self) -> bool:
        """Whether there is no link until a person changes something; after a refused message there may be one."""
        return self._condition[0] == "failed" and self._linked_at is None

    def _run(self) -> None:
        while self._hold_claim():
            try:
                self._begin(resumed=self._connection.open())
                self._serve()
            except LinkError as error:
                self._pause(error)
            except Exception as error:
                _log.exception("mqtt failed unexpectedly")
                self._pause(LinkError(str(error) or type(error).__name__, lasting=True))
        self._connection.close(with_will=True)
        if self._claim is not None:
            self._claim.close()

    def _hold_claim(self) -> bool:
        """Wait until no other run of this machine has the client id; false once the link is to end."""
        while self._claim is not None and not self._stopping.is_set() and not self._claim.hold():
            holder, connection = self._claim.holder, self._connection
            found = "another run on this machine" + (f" (process {holder})" if holder is not None else "")
            error = link_error.contested(connection.place, connection.client_id, found=found)
            self._set_condition("failed", str(error))
            self._stopping.wait(self._times.idle_s)
        return not self._stopping.is_set()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._send_waiting()
            self._connection.process(self._times.idle_s, self._wake)
            self._check_acknowledgements()
            with contextlib.suppress(BlockingIOError):  # nobody has woken it
                self._wake.recv(4096)

    def _pause(self, error: LinkError) -> None:
        held_s = self._clock() - self._linked_at if self._linked_at is not None else 0.0
        with self._changed:
            self._linked_at = None
        if held_s >= self._times.steady_s:
            self._backoff.reset()
        pause_s = self._backoff.failed()
        # Mosquitto 2.0 ends the link after a message that is not allowed: that is no sign of a rival.
        rival = self._rivals.link_ended(error, held_s) if not self._is_refused else None
        if rival is not None:
            connection, self._doubt_s = self._connection, rival.pause_s
            error = link_error.contested(connection.place, connection.client_id, found=rival.signs)
        # A refusal stays the reason, too.
        if error.lasting or self._clock() >= self._well_from:
            self._set_condition("failed" if error.lasting else "waiting", str(error))
        if self._condition[0] == "failed":
            pause_s = rival.pause_s if rival is not None else self._settings.retry_max_s
        self._stopping.wait(pause_s)

    def _begin(self, *, resumed: bool) -> None:
        self._retained.republish()
        self._is_refused = False
        with self._changed:
            self._linked_at = self._owed_since = self._clock()
            if not resumed or self._settings.qos == 0:
                self._in_flight.clear()
        if not resumed or self._settings.qos == 0:
            self._buffer.rewind()
        if self._doubt_s:
            self._well_from, self._doubt_s = self._clock() + self._doubt_s, 0.0
        if self._birth is not None:
            self._connection.client.subscribe(self._birth, qos=1)

    @property
    def _owes(self) -> bool:
        """Whether there is anything that the broker must acknowledge; at QoS 0 these are the retained messages."""
        if self._settings.qos:
            return bool(self._in_flight)
        return any(record is None for _, record in self._in_flight.values())

    def _check_acknowledgements(self) -> None:
        """Notice a broker that keeps the link alive, and acknowledges nothing."""
        silent_s = self._clock() - self._owed_since if self._owes else 0.0
        if silent_s < self._times.quiet_s:
            return
        error = link_error.unacknowledged(self._connection.place, silent_s)
        if silent_s >= self._silent_s:
            raise error
        state, reason = self._condition
        if state == "ok" or (state == "waiting" and reason is None):
            self._set_condition("waiting", str(error))

    def _send_waiting(self) -> None:
        """Give paho the messages that wait, as long as the window has room."""
        if self._clock() >= self._resend_at:
            self._resend_at = math.inf
            self._retained.republish()
        window = min(self._settings.in_flight, self._connection.window)
        while len(self._in_flight) < window:
            with self._changed:  # so that `close` sees a message either as waiting or as in flight, never as neither
                if (message := self._retained.take()) is not None:
                    self._publish(message, 1, None)
                elif (taken := self._buffer.take()) is not None:
                    record, message = taken
                    self._publish(message, self._settings.qos, record)
                else:
                    return

    def _publish(self, message: Message, qos: int, record: PendingRecord | None) -> None:
        length = len(message.topic.encode()) + len(message.payload) + _OVERHEAD
        if length > self._connection.max_packet:
            self._settle(message, record, f"its {length} bytes are more than it takes")
            return
        if not self._owes:
            self._owed_since = self._clock()
        is_retained = record is None and self._settings.retain
        sent = self._connection.client.publish(message.topic, message.payload, qos, retain=is_retained)
        self._in_flight[sent.mid] = message, record

    def _on_publish(self, _client: Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        with self._changed:
            if mid not in self._in_flight:
                return
            message, record = self._in_flight.pop(mid)
            if record is None or self._settings.qos:  # else it was handed to the network, no more
                self._owed_since = self._clock()
            self._settle(message, record, str(code).lower() if code.is_failure else None)

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
        elif self._clock() >= self._well_from and (record is None or self._settings.qos):
            self._set_condition("ok", None)
        self._changed.notify_all()

    def _refuse(self, topic: str, why: str) -> None:
        self._is_refused, self._well_from = True, self._clock() + self._times.steady_s
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
