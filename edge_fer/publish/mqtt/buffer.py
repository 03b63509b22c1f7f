"""Messages that wait for a broker: records, bounded in bytes and in age, and retained messages, the newest a topic."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Message(NamedTuple):
    """A message to publish.

    Attributes:
        topic: the topic.
        payload: the content, bytes.
    """

    topic: str
    payload: bytes


@dataclass(slots=True, eq=False)
class PendingRecord:
    """The messages of one record.

    Attributes:
        waiting: messages that are still to be sent, in order.
        queued_s: when the record was put into the buffer, seconds of the buffer's clock.
        size: bytes of all payloads.
        in_flight: messages that were sent and not yet acknowledged, in order.
        refused: whether the broker has refused one of the messages.
    """

    waiting: deque[Message]
    queued_s: float
    size: int
    in_flight: list[Message] = field(default_factory=list)
    refused: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether none of its messages is in flight, so that it may be dropped."""
        return not self.in_flight


class Buffer:
    """A queue that keeps a record until it is acknowledged, too old, or one too many; for any threads.

    A record with a message in flight is never dropped: a handshake that has begun is completed.

    Args:
        max_bytes: bytes of all payloads; the oldest record is dropped to make room.
        max_age_s: a record that has waited for longer is dropped, seconds.
        clock: seconds that never go backwards.
    """

    def __init__(self, max_bytes: float, max_age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes, self._max_age_s, self._clock = max_bytes, max_age_s, clock
        self._lock = threading.Lock()  # guards all that follows
        self._records: deque[PendingRecord] = deque()
        self._bytes = self._sent = self._dropped = 0

    def put(self, messages: Sequence[Message]) -> None:
        """Add a record.

        Args:
            messages: the messages that it consists of.
        """
        size = sum(len(message.payload) for message in messages)
        with self._lock:
            self._records.append(PendingRecord(deque(messages), self._clock(), size))
            self._bytes += size
            self._drop_old()
            self._drop_excess()

    def take(self) -> tuple[PendingRecord, Message] | None:
        """Take the next message to send; None when there is none."""
        with self._lock:
            self._drop_old()
            record = next((record for record in self._records if record.waiting), None)
            if record is None:
                return None
            message = record.waiting.popleft()
            record.in_flight.append(message)
            return record, message

    def settle(self, record: PendingRecord, message: Message, *, refused: bool) -> None:
        """Note that a message was acknowledged; a record is counted once all of its messages are.

        Args:
            record: what `take` gave.
            message: what `take` gave.
            refused: whether the broker did not want it.
        """
        with self._lock:
            record.in_flight.remove(message)
            record.refused |= refused
            if not record.waiting and not record.in_flight:
                self._remove(record)
                self._sent += not record.refused
                self._dropped += record.refused

    def rewind(self) -> None:
        """Let everything that was sent and not acknowledged be sent again, before all that waits."""
        with self._lock:
            for record in self._records:
                record.waiting.extendleft(reversed(record.in_flight))
                record.in_flight.clear()

    def take_all(self) -> list[PendingRecord]:
        """Take all records that are still here, the oldest first, for `resume` of another buffer; none is in flight."""
        self.rewind()
        with self._lock:
            records = list(self._records)
            self._records.clear()
            self._bytes = 0
        return records

    def resume(self, records: Iterable[PendingRecord]) -> None:
        """Put records of another buffer before all others, as if they had been here since they were queued.

        Args:
            records: what `take_all` gave.
        """
        with self._lock:
            self._records.extendleft(reversed([*records]))
            self._bytes = sum(record.size for record in self._records)
            self._drop_old()
            self._drop_excess()

    @property
    def counts(self) -> tuple[int, int, int]:
        """Records that were sent, that were dropped, and that are still here."""
        with self._lock:
            return self._sent, self._dropped, len(self._records)

    def _drop_old(self) -> None:
        oldest_allowed = self._clock() - self._max_age_s
        while (record := self._oldest_idle()) is not None and record.queued_s < oldest_allowed:
            self._drop_oldest()

    def _drop_excess(self) -> None:
        while self._bytes > self._max_bytes and self._drop_oldest():
            pass

    def _drop_oldest(self) -> bool:
        """Drop the oldest record without a message in flight; false when there is none."""
        record = self._oldest_idle()
        if record is not None:
            self._remove(record)
            self._dropped += 1
        return record is not None

    def _oldest_idle(self) -> PendingRecord | None:
        # No more records are skipped here than messages may be in flight.
        return next((record for record in self._records if record.is_idle), None)

    def _remove(self, record: PendingRecord) -> None:
        self._records.remove(record)
        self._bytes -= record.size


class RetainedMessages:
    """The messages that the broker should retain, of each topic the newest; for any threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards both
        self._payloads: dict[str, bytes] = {}
        self._due: dict[str, None] = {}  # topics to publish, in order

    def put(self, message: Message) -> None:
        """Publish a message, in place of an earlier one of the same topic."""
        with self._lock:
            self._payloads[message.topic] = message.payload
            self._due[message.topic] = None

    def take(self) -> Message | None:
        """Take the next message to send; None when there is none."""
        with self._lock:
            if not self._due:
                return None
            topic = next(iter(self._due))
            del self._due[topic]
            return Message(topic, self._payloads[topic])

    @property
    def is_empty(self) -> bool:
        """Whether there is no message to send."""
        with self._lock:
            return not self._due

    def republish(self) -> None:
        """Let all messages be sent again, as on a new connection."""
        with self._lock:
            self._due = dict.fromkeys(self._payloads)
