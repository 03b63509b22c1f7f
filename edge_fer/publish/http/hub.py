"""Those who listen to readings, each with a bounded queue of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from edge_fer.publish.http.observed import Health, Observed
from edge_fer.schema import Reading, Record, Status, to_json

HEALTH_EVERY_S = 2.0
"""Every stream carries the box's health so often: so that who listens can tell silence from a broken connection."""

_ROUND_S = 0.002
"""Between two rounds, for each further client."""

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

    Attributes:
        lost: messages that were lost so far.
    """

    def __init__(self, limit: int, observed: Observed) -> None:
        self.lost = 0
        self._queue: deque[Message] = deque(maxlen=limit)
        self._observed = observed
        self._due = asyncio.Event()
        self._wants_health, self._ended = True, False

    def put(self, message: Message) -> bool:
        """Queue a message; false where an older one was lost to it."""
        is_full = len(self._queue) == self._queue.maxlen
        self.lost += is_full
        self._queue.append(message)
        self._wants_health |= message.name == "status"
        return not is_full

    def send(self) -> None:
        """Have `take` return what waits."""
        self._due.set()

    def send_health(self) -> None:
        """Have `take` return the box's health, too."""
        self._wants_health = True
        self._due.set()

    def end(self) -> None:
        """Have `take` return nothing from now on."""
        self._ended = True
        self._due.set()

    async def take(self) -> list[Message]:
        """All that waits, once it is to be sent; empty once all is over."""
        messages: list[Message] = []
        while not messages and not self._ended:
            await self._due.wait()
            self._due.clear()
            messages = list(self._queue)
            self._queue.clear()
            if self._wants_health:
                self._wants_health = False
                messages.append(message(self._observed.health(self.lost)))
        return [] if self._ended else messages


class Hub:
    """All who listen. Used in the server's thread; its counts in any.

    To write to a client costs about the same however much it is. So readings are sent in rounds, which are rarer the
    more clients there are: at once to a single one, and every tenth of a second to fifty.

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
        self._round: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None

    def publish(self, record: Record) -> None:
        """Queue a record for everybody."""
        self._newest[type(record)] = record
        if not self._clients:
            return
        sent = message(record)
        for client in self._clients:
            self.lost += not client.put(sent)
        if self._round is None:
            pause_s = (len(self._clients) - 1) * _ROUND_S
            self._round = asyncio.get_running_loop().call_later(pause_s, self._send)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """One who listens from now on, beginning with the newest status and reading."""
        client = Client(self._limit, self._observed)
        for kind in (Status, Reading):
            if kind in self._newest:
                client.put(message(self._newest[kind]))
        client.send()
        self._clients.add(client)
        if self._beat is None:
            self._send_health()
        try:
            yield client
        finally:
            self._clients.discard(client)

    def close(self) -> None:
        """Have every stream end."""
        for client in self._clients:
            client.end()
        for timer in (self._round, self._beat):
            if timer is not None:
                timer.cancel()
        self._round = self._beat = None

    def _send(self) -> None:
        self._round = None
        for client in self._clients:
            client.send()

    def _send_health(self) -> None:
        """Now, and from here on, while somebody listens."""
        for client in self._clients:
            client.send_health()
        self._beat = asyncio.get_running_loop().call_later(HEALTH_EVERY_S, self._send_health) if self._clients else None
