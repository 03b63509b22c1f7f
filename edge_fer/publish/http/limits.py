"""Bounds of the web server that no setting changes; tests hand in smaller ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, and numbers of connections.

    Attributes:
        request_s: a request must be complete so long after the connection was made, or after the last answer.
        stalled_s: a client that takes none of the data sent to it is disconnected after so long.
        excess_check_s: so long after a connection was made, the excess of unauthenticated ones from its address is
            closed. Not at once: of many that come together, as after a restart, all are accepted before the first
            request is read.
        unauthenticated: connections of one address whose clients have not shown the token; fewer than
            `spare_connections`.
        spare_connections: connections beside those of streams: so there is room to ask for health while all streams are
            taken.
        refusals: further connections that are still told that there is no room; any beyond these are just closed.
        health_every_s: every stream carries the box's health so often: so a client can tell silence from a broken
            connection.
        stop_s: the server's thread must end within so long.
    """

    request_s: float = 10.0
    stalled_s: float = 20.0
    excess_check_s: float = 0.2
    unauthenticated: int = 32
    spare_connections: int = 64
    refusals: int = 16
    health_every_s: float = 2.0
    stop_s: float = 4.0


DEFAULT_LIMITS = Limits()
