"""Which clients are served: the token, how many at once, and which one gives way."""

from __future__ import annotations

import hmac
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from edge_fer.common.rate_limiter import RateLimiter
from edge_fer.common.text import counted
from edge_fer.common.unauthenticated import UnauthenticatedConnections
from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.messages import Cause, Refusal

_WRONG_TOKENS_A_SECOND, _WRONG_TOKENS_AT_ONCE = 1.0, 10.0

_LINES_A_SECOND, _LINES_AT_ONCE = 1 / 60, 3.0

Reason = Literal["version", "token", "too_soon", "model", "service", "full", "malformed", "slow", "idle"]
"""Why a connection was refused or ended: a cause of the protocol, or what the client did not do in time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that no setting changes; tests hand in smaller ones. Times in seconds.

    Attributes:
        hello_s: a client must have said what it wants so long after it has connected.
        message_s: a message must be complete so long after its first byte.
        stalled_s: a client must have taken its answer within so long.
        unauthenticated: connections of one address that have not shown the token.
        stop_s: the server's thread must end within so long.
    """

    hello_s: float = 5.0
    message_s: float = 5.0
    stalled_s: float = 5.0
    unauthenticated: int = 32
    stop_s: float = 4.0


@dataclass(slots=True)
class Counts:
    """What has happened since the start; written in the event loop's thread, read in any.

    Attributes:
        clients: connections that have shown the token, now.
        faces: requests that were answered.
        late: requests whose deadline passed before a device was free.
        away: requests that no device could answer.
        refused: connections that were refused or ended, by `Reason`.
    """

    clients: int = 0
    faces: int = 0
    late: int = 0
    away: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class AdmittedClient:
    """A client that is served.

    Args:
        address: its address and port, for people.
        disconnect: ends its connection.
        now: seconds of that clock.

    Attributes:
        address: see above.
        disconnect: see above.
        active_at: when it last sent something, seconds of that clock.
    """

    def __init__(self, address: str, disconnect: Callable[[], None], now: float) -> None:
        self.address, self.disconnect, self.active_at = address, disconnect, now


class Admission:
    """Admits clients; in the event loop's thread.

    Args:
        token: the secret that they must know; None: none.
        max_clients: how many are served at once.
        idle_s: while it is full, one that was silent for so long gives way to a new one, seconds.
        limits: other bounds.
        counts: what is counted.
        clock: seconds that never go backwards.

    Attributes:
        limits: see above.
        counts: see above.
        unauthenticated: connections that have not shown the token yet.
    """

    def __init__(
        self,
        token: str | None,
        max_clients: int,
        idle_s: float,
        limits: Limits,
        counts: Counts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits, self.counts = limits, counts
        self.unauthenticated = UnauthenticatedConnections(limits.unauthenticated)
        self._token, self._max_clients, self._idle_s, self._clock = token, max_clients, idle_s, clock
        self._failures = RateLimiter(_WRONG_TOKENS_A_SECOND, _WRONG_TOKENS_AT_ONCE, clock)
        self._lines, self._told = RateLimiter(_LINES_A_SECOND, _LINES_AT_ONCE, clock), Counter[str]()
        self._clients: list[AdmittedClient] = []

    def verify(self, proof: bytes, nonce: bytes, address: str) -> Refusal | None:
        """Check whether a client knows the token; None: it does.

        Args:
            proof: what it has sent.
            nonce: what it was sent.
            address: its IP address.
        """
        if self._token is None:
            return None
        if self._failures.wait_s(address):
            return Refusal(0, Cause.TOO_SOON, "too many wrong tokens came from this address")
        if hmac.compare_digest(proof, protocol.prove(self._token, nonce)):
            return None
        self._failures.allow(address)
        return Refusal(0, Cause.TOKEN, "another token than this server's" if any(proof) else "no token")

    def admit(self, address: str, disconnect: Callable[[], None]) -> AdmittedClient | Refusal:
        """Admit a client, in the place of a silent one where need be.

        Args:
            address: its address and port, for people.
            disconnect: ends its connection.
        """
        now = self._clock()
        if len(self._clients) >= self._max_clients:
            oldest = min(self._clients, key=lambda client: client.active_at)
            if now - oldest.active_at < self._idle_s:
                return Refusal(0, Cause.FULL, f"{counted(len(self._clients), 'client')}, as many as it serves at once")
            self.refuse(oldest.address, "idle", "it was silent while others wait")
            self.release(oldest)
            oldest.disconnect()
        client = AdmittedClient(address, disconnect, now)
        self._clients.append(client)
        self.counts.clients = len(self._clients)
        return client

    def note_activity(self, client: AdmittedClient) -> None:
        """Note that a client has sent something."""
        client.active_at = self._clock()

    def release(self, client: AdmittedClient) -> None:
        """Note that a client has gone; again is no error."""
        self._clients = [one for one in self._clients if one is not client]
        self.counts.clients = len(self._clients)

    def refuse(self, address: str, reason: Reason, text: str) -> None:
        """Count and log why a connection was refused or ended; of each reason a few lines a minute.

        Args:
            address: the client's address, for people.
            reason: for a program.
            text: for a person.
        """
        self.counts.refused[reason] += 1
        if self._lines.allow(reason):
            more = self.counts.refused[reason] - self._told[reason] - 1
            self._told[reason] = self.counts.refused[reason]
            others = f" (and {more} before it for such a reason)" if more else ""
            _log.warning("serve: %s was sent away: %s%s", address, text, others)
