"""Records that wait for a broker: bounded in bytes and in age, handed over in order, kept until acknowledged."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Message(NamedTuple):
    """What is published.

    Attributes:
        topic: where.
        payload: what, as it stays however long it waits.
    """

    topic: str
    payload: bytes


@dataclass(slots=True, eq=False)
class PendingRecord:
    """The messages of one record.

    Attributes:
        waiting: still to be handed over, in order.
        born: when it was put into the buffer, seconds of the buffer's clock.
        size: of all payloads, bytes.
        handed: handed over and not yet acknowledged, in order.
        refused: whether one of its messages was.
    """

    waiting: deque[Message]
    born: float
    size: int
    handed: list[Message] = field(default_factory=list)
    refused: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is under way, so that it may be dropped."""
        return not self.handed


class Buffer:
    """A queue of records that forgets none before it is acknowledged, too old, or one too many; for any threads.

    Only what is not under way is dropped: a handshake that has begun is brought to its end.

    Args:
        max_bytes: of payloads; the oldest record is dropped to make room.
        max_age_s: a record that has waited for longer is dropped, seconds.
        clock: seconds that never go backwards.
    """

    def __init__(self, max_bytes: float, max_age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes, self._max_age_s, self._clock = max_bytes, max_age_s, clock
        self._records: deque[PendingRecord] = deque()
        self._bytes = self._sent = self._dropped = 0
        self._lock = threading.Lock()

    def put(self, messages: Sequence[Message]) -> None:
        """Take the messages of one record."""
        size = sum(len(message.payload) for message in messages)
        with self._lock:
            self._records.append(PendingRecord(deque(messages), self._clock(), size))
            self._bytes += size
            self._drop_old()
            while self._bytes > self._max_bytes and self._drop_oldest():
                pass

    def take(self) -> tuple[PendingRecord, Message] | None:
        """Hand over the next message; null when none waits."""
        with self._lock:
            self._drop_old()
            record = next((record for record in self._records if record.waiting), None)
            if record is None:
                return None
            message = record.waiting.popleft()
            record.handed.append(message)
            return record, message

    def settle(self, record: PendingRecord, message: Message, *, refused: bool) -> None:
        """Note that a message was acknowledged, or refused; the record counts once all of its messages are settled."""
        with self._lock:
            record.handed.remove(message)
            record.refused |= refused
            if not record.waiting and not record.handed:
                self._forget(record)
                self._sent += not record.refused
                self._dropped += record.refused

    def rewind(self) -> None:
        """Have everything handed over anew that was not acknowledged, before all that waits."""
        with self._lock:
            for record in self._records:
                record.waiting.extendleft(reversed(record.handed))
                record.handed.clear()

    @property
    def counts(self) -> tuple[int, int, int]:
        """Records that were sent, dropped, and are still here."""
        with self._lock:
            return self._sent, self._dropped, len(self._records)

    def _drop_old(self) -> None:
        oldest_allowed = self._clock() - self._max_age_s
        while (record := self._oldest_idle()) is not None and record.born < oldest_allowed:
            self._drop_oldest()

    def _drop_oldest(self) -> bool:
        """Drop the oldest record that is not under way; false when there is none."""
        record = self._oldest_idle()
        if record is not None:
            self._forget(record)
            self._dropped += 1
        return record is not None

    def _oldest_idle(self) -> PendingRecord | None:
        # No more records are passed over than messages may be in flight.
        return next((record for record in self._records if record.is_idle), None)

    def _forget(self, record: PendingRecord) -> None:
        self._records.remove(record)
        self._bytes -= record.size


class RetainedMessages:
    """What should stand on the broker: of each topic the newest, published retained; for any threads."""

    def __init__(self) -> None:
        self._wanted: dict[str, bytes] = {}
        self._due: dict[str, None] = {}
        self._lock = threading.Lock()

    def put(self, message: Message) -> None:
        """Have this stand there, in place of what was put for the same topic before."""
        with self._lock:
            self._wanted[message.topic] = message.payload
            self._due[message.topic] = None

    def take(self) -> Message | None:
        """The next message that is due; null when none is."""
        with self._lock:
            if not self._due:
                return None
            topic = next(iter(self._due))
            del self._due[topic]
            return Message(topic, self._wanted[topic])

    @property
    def is_done(self) -> bool:
        """Whether nothing is due."""
        with self._lock:
            return not self._due

    def renew(self) -> None:
        """Have everything published again, as on a new connection."""
        with self._lock:
            self._due = dict.fromkeys(self._wanted)
