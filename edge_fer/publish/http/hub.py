"""Those who listen to readings, each with a bounded queue of its own."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from edge_fer.publish import to_json
from edge_fer.publish.http.observed import Health, Observed
from edge_fer.types import Reading, Record, Status

HEALTH_EVERY_S = 2.0
"""Every stream carries the box's health so often: so that who listens can tell silence from a broken connection."""

HEALTH: TypeAdapter[Health] = TypeAdapter(Health)


@dataclass(frozen=True, slots=True)
class Message:
    """One record as it is sent.

    Attributes:
        name: `reading`, `status` or `health`.
        text: JSON.
        event: the same as a server-sent event.
    """

    name: str
    text: str
    event: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "event", f"event: {self.name}\ndata: {self.text}\n\n".encode())


def message(record: Record | Health) -> Message:
    """A record as it is sent."""
    if isinstance(record, Health):
        return Message("health", HEALTH.dump_json(record).decode())
    return Message("reading" if isinstance(record, Reading) else "status", to_json(record))


class Client:
    """One who listens.

    Args:
        limit: messages that wait at most; the oldest is lost to a newer one.
        observed: knows the box's health.
        clock: seconds that never go backwards.

    Attributes:
        lost: messages that were lost so far.
    """

    def __init__(self, limit: int, observed: Observed, clock: Callable[[], float] = time.monotonic) -> None:
        self.lost = 0
        self._queue: deque[Message] = deque(maxlen=limit)
        self._observed, self._clock = observed, clock
        self._health_due = clock()
        self._news = asyncio.Event()
        self._ended = False

    def put(self, message: Message) -> bool:
        """Queue a message; false where an older one was lost to it."""
        is_full = len(self._queue) == self._queue.maxlen
        self.lost += is_full
        self._queue.append(message)
        self._news.set()
        return not is_full

    def end(self) -> None:
        """Have `take` return nothing from now on."""
        self._ended = True
        self._news.set()

    async def take(self) -> list[Message]:
        """All that waits, after a wait for it of up to `HEALTH_EVERY_S`; empty once all is over.

        With a status comes the box's health, too.
        """
        rest = self._health_due - self._clock()
        if not self._news.is_set() and rest > 0:
            with suppress(asyncio.TimeoutError):  # then its health is due
                await asyncio.wait_for(self._news.wait(), rest)
        if self._ended:
            return []
        self._news.clear()
        messages = list(self._queue)
        self._queue.clear()
        if self._clock() >= self._health_due or any(message.name == "status" for message in messages):
            self._health_due = self._clock() + HEALTH_EVERY_S
            messages.append(message(self._observed.health(self.lost)))
        return messages


class Hub:
    """All who listen. Used in the server's thread; its counts in any.

    Args:
        limit: messages that wait for each client at most.
        observed: knows the box's health.

    Attributes:
        lost: messages that clients were too slow for.
    """

    def __init__(self, limit: int, observed: Observed) -> None:
        self.lost = 0
        self._limit, self._observed = limit, observed
        self._clients: set[Client] = set()
        self._newest: dict[type[Record], Record] = {}

    def publish(self, record: Record) -> None:
        """Queue a record for everybody."""
        self._newest[type(record)] = record
        if self._clients:
            sent = message(record)
            for client in self._clients:
                self.lost += not client.put(sent)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """One who listens from now on, beginning with the newest status and reading."""
        client = Client(self._limit, self._observed)
        for kind in (Status, Reading):
            if kind in self._newest:
                client.put(message(self._newest[kind]))
        self._clients.add(client)
        try:
            yield client
        finally:
            self._clients.discard(client)

    def close(self) -> None:
        """Have every stream end."""
        for client in self._clients:
            client.end()
