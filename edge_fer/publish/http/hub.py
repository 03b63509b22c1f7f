"""The subscribers of readings, each with a bounded queue of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from edge_fer.publish.http.latest_records import Health, LatestRecords
from edge_fer.schema import Reading, Record, Status, TrackRecord, to_json

_NAMES: dict[type[Record], str] = {Reading: "reading", Status: "status", TrackRecord: "track"}

_ROUND_S = 0.002
"""Added between two rounds for each further subscriber, seconds."""

_TRACKS = 20
"""Of faces that have left: so many are told again to each new subscriber."""

HEALTH: TypeAdapter[Health] = TypeAdapter(Health)


@dataclass(frozen=True, slots=True)
class Message:
    """One record as it is sent.

    Attributes:
        name: `reading`, `status`, `track` or `health`.
        text: the record as JSON.
        event: the same as a server-sent event.
    """

    name: str
    text: str
    event: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "event", f"event: {self.name}\ndata: {self.text}\n\n".encode())


def message(record: Record | Health) -> Message:
    """Encode a record."""
    if isinstance(record, Health):
        return Message("health", HEALTH.dump_json(record).decode())
    return Message(_NAMES[type(record)], to_json(record))


class Subscriber:
    """One client that receives records.

    Args:
        limit: messages that wait at most; the oldest is lost to a newer one.
        latest: gives the box's health.

    Attributes:
        lost: how many messages were lost so far.
    """

    def __init__(self, limit: int, latest: LatestRecords) -> None:
        self.lost = 0
        self._queue: deque[Message] = deque(maxlen=limit)
        self._latest = latest
        self._due = asyncio.Event()
        self._wants_health, self._ended = True, False

    def put(self, message: Message) -> bool:
        """Queue a message; false where an older one was lost to it."""
        is_full = len(self._queue) == self._queue.maxlen
        self.lost += is_full
        self._queue.append(message)
        self._wants_health |= message.name == "status"
        return not is_full

    def flush(self) -> None:
        """Let `take` return what waits."""
        self._due.set()

    def flush_health(self) -> None:
        """Let `take` return what waits, and the box's health."""
        self._wants_health = True
        self._due.set()

    def end(self) -> None:
        """Let `take` return an empty list from now on."""
        self._ended = True
        self._due.set()

    async def take(self) -> list[Message]:
        """Wait for the next flush and return all that waits; an empty list once the subscription has ended."""
        messages: list[Message] = []
        while not messages and not self._ended:
            await self._due.wait()
            self._due.clear()
            messages = list(self._queue)
            self._queue.clear()
            if self._wants_health:
                self._wants_health = False
                messages.append(message(self._latest.health(self.lost)))
        return [] if self._ended else messages


class Hub:
    """Sends records to all subscribers.

    It is used in the server's thread; only its counter is read in others, as a single number that one thread writes.

    The cost of writing to a client hardly depends on how much is written. So readings are sent in rounds, which are
    rarer the more subscribers there are: at once to a single one, and every tenth of a second to fifty.

    Args:
        limit: messages that wait for each subscriber at most.
        latest: gives the box's health.
        health_every_s: seconds between two records of the box's health.

    Attributes:
        lost: messages that subscribers were too slow for.
    """

    def __init__(self, limit: int, latest: LatestRecords, health_every_s: float) -> None:
        self.lost = 0
        self._limit, self._latest, self._health_every_s = limit, latest, health_every_s
        self._subscribers: set[Subscriber] = set()
        self._newest: dict[type[Record], Record] = {}
        self._tracks: deque[TrackRecord] = deque(maxlen=max(min(_TRACKS, limit - 2), 0))  # which leaves room for both
        self._flush_timer: asyncio.TimerHandle | None = None
        self._health_timer: asyncio.TimerHandle | None = None

    def publish(self, record: Record) -> None:
        """Queue a record for every subscriber."""
        if isinstance(record, TrackRecord):
            self._tracks.append(record)
        else:
            self._newest[type(record)] = record
        if not self._subscribers:
            return
        sent = message(record)
        for subscriber in self._subscribers:
            self.lost += not subscriber.put(sent)
        if self._flush_timer is None:
            pause_s = (len(self._subscribers) - 1) * _ROUND_S
            self._flush_timer = asyncio.get_running_loop().call_later(pause_s, self._flush)

    @contextmanager
    def subscribe(self) -> Iterator[Subscriber]:
        """A new subscriber while the context lasts; it starts with the last tracks, newest status and reading."""
        subscriber = Subscriber(self._limit, self._latest)
        for track in self._tracks:
            subscriber.put(message(track))
        for kind in (Status, Reading):
            if kind in self._newest:
                subscriber.put(message(self._newest[kind]))
        subscriber.flush()
        self._subscribers.add(subscriber)
        if self._health_timer is None:
            self._flush_health()
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    def close(self) -> None:
        """End every subscription."""
        for subscriber in self._subscribers:
            subscriber.end()
        for timer in (self._flush_timer, self._health_timer):
            if timer is not None:
                timer.cancel()
        self._flush_timer = self._health_timer = None

    def _flush(self) -> None:
        self._flush_timer = None
        for subscriber in self._subscribers:
            subscriber.flush()

    def _flush_health(self) -> None:
        """Send the health now, and again and again while there are subscribers."""
        self._health_timer = None
        for subscriber in self._subscribers:
            subscriber.flush_health()
        if self._subscribers:
            loop = asyncio.get_running_loop()
            self._health_timer = loop.call_later(self._health_every_s, self._flush_health)
