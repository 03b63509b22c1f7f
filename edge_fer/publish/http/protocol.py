"""Connections that are bounded in number, size and time, whatever the other side does or does not."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from edge_fer.publish.http.security import UnauthenticatedConnections

REQUEST_S = 10.0
"""A request must be complete so long after the connection was made, or the last answer given."""

SPEAK_S = 0.2
"""So long after a connection was made, the excess of unauthenticated ones from its address is closed: not at once: of
many that come together, as after a restart, all are accepted before the first request is read."""

STALLED_S = 20.0
"""A client that takes nothing of what it asked for is cut off after so long."""

SPARE_CONNECTIONS = 64
"""Beside those of streams: so that there is room to ask for health when all streams are taken."""

_REFUSALS = 16
"""Connections beyond that which are still told that there is no room; those beyond are just closed."""

LONGEST_HEAD = 16_384
"""Request line and headers together, bytes."""

_BUFFER = 16 * 1024
"""Bytes that the kernel, and we, hold for a slow client: what is older is better lost than delivered late."""

if TYPE_CHECKING:
    _Base = asyncio.Protocol
else:
    _Base = object


class _Impatient(_Base):
    """Cuts off a client that takes nothing for `STALLED_S`."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The buffer is full."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The buffer has room again."""
        super().resume_writing()
        self._forgive()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has gone."""
        self._forgive()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends: who does not even listen is not told."""
        if self._stalled is not None:
            self.transport.abort()
        super().shutdown()  # type: ignore[misc]  # of uvicorn's protocols

    def _forgive(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class BoundedHttp(_Impatient, H11Protocol):
    """HTTP/1.1 that also cuts off who takes too long to ask, and who comes when all places are taken.

    Args:
        unauthenticated: to be counted among, until the app knows better.
        uvicorn: what its protocols are given.
    """

    _late: asyncio.TimerHandle | None = None

    def __init__(self, *, unauthenticated: UnauthenticatedConnections, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._unauthenticated = unauthenticated

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A client has come."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        transport.set_write_buffer_limits(_BUFFER)
        self._await_request()
        if self.client is not None:
            self._unauthenticated.add(self.client, transport.abort)
            self.loop.call_later(SPEAK_S, self._unauthenticated.close_excess, self.client[0])
        if len(self.connections) > (self.config.limit_concurrency or 0) + _REFUSALS:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """A part of a request has come."""
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """A request was answered."""
        self._await_request()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Another protocol goes on with this connection, for as long as the app wants."""
        self._stop_waiting()
        self._go()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has gone."""
        self._stop_waiting()
        self._go()
        super().connection_lost(exc)

    def _go(self) -> None:
        if self.client is not None:
            self._unauthenticated.discard(self.client)

    def _await_request(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class BoundedWebSocket(_Impatient, WebSocketsSansIOProtocol):
    """A WebSocket whose client must take what it is sent, and is not heard while it does not."""

    def pause_writing(self) -> None:
        """The buffer is full: pings, which are answered, would make it grow."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The buffer has room again."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    async def send(self, message: Any) -> None:
        """Send what the app says."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # uvicorn takes a refusal for an app that says nothing, and complains


def uvicorn_limits(max_streams: int, unauthenticated: UnauthenticatedConnections) -> dict[str, Any]:
    """What uvicorn's own settings bound: heads, messages, connections, answers to pings.

    Args:
        max_streams: streams at once.
        unauthenticated: who has not shown the token.
    """
    return {
        "http": partial(BoundedHttp, unauthenticated=unauthenticated),
        "ws": BoundedWebSocket,
        "limit_concurrency": max_streams + SPARE_CONNECTIONS,
        "h11_max_incomplete_event_size": LONGEST_HEAD,
        "timeout_keep_alive": int(REQUEST_S) // 2,
        "ws_max_size": 1024,
        "ws_ping_interval": 10.0,
        "ws_ping_timeout": 10.0,
        "ws_per_message_deflate": False,
    }
