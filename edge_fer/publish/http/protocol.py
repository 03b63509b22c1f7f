"""Connections that are bounded in number, size and time, whatever the client does.

Built on the protocol classes of uvicorn, which are not part of its public interface: `pyproject.toml` pins the versions
that the tests pass with.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from edge_fer.common.unauthenticated import UnauthenticatedConnections
from edge_fer.publish.http.limits import Limits

MAX_HEAD_BYTES = 16_384
"""Longest request line and headers together."""

_BUFFER_BYTES = 16 * 1024
"""The kernel and the server each hold so much for a slow client: older data is better lost than delivered late."""

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

BACKLOG = 64
"""Connections that the kernel completes in advance: so many are accepted at once at most, before any is counted."""

if TYPE_CHECKING:
    _Base = asyncio.Protocol
else:
    _Base = object


class _WriteTimeout(_Base):
    """Disconnects a client that takes no data for `Limits.stalled_s`."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _limits: Limits
    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The buffer is full."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self._limits.stalled_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The buffer has room again."""
        super().resume_writing()
        self._cancel_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._cancel_timer()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends: a client that takes no data is not waited for."""
        if self._stalled is not None:
            self.transport.abort()
        super().shutdown()  # type: ignore[misc]  # of uvicorn's protocols

    def _cancel_timer(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class BoundedHttp(_WriteTimeout, H11Protocol):
    """HTTP/1.1 that also disconnects clients that take too long to send a request, or come when all places are taken.

    Args:
        unauthenticated: counts the connection until its client has shown the token.
        limits: the server's bounds.
        uvicorn: the arguments of uvicorn's class.
    """

    _request_timer: asyncio.TimerHandle | None = None

    def __init__(self, *, unauthenticated: UnauthenticatedConnections, limits: Limits, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._unauthenticated, self._limits = unauthenticated, limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A client has connected."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        transport.set_write_buffer_limits(_BUFFER_BYTES)
        self._await_request()
        if self.client is not None:
            self._unauthenticated.add(self.client, transport.abort)
            self.loop.call_later(self._limits.excess_check_s, self._unauthenticated.close_excess, self.client[0])
        if len(self.connections) > (self.config.limit_concurrency or 0) + self._limits.refusals:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """A part of a request has come."""
        super().data_received(data)
        self._note_request()

    def on_response_complete(self) -> None:
        """A request was answered; the next one may have come already."""
        self._await_request()
        super().on_response_complete()
        self._note_request()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request; where the answer to its beginning is under way, just end the connection."""
        if self.cycle is not None:  # whoever answers it would write behind this
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The WebSocket's protocol takes the connection over, and the care for its time with it."""
        self._cancel_request_timer()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._cancel_request_timer()
        self._discard()
        super().connection_lost(exc)

    def _note_request(self) -> None:
        """Stop the time once the request is complete; one that is none has ended the connection."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY, h11.ERROR):
            self._cancel_request_timer()

    def _discard(self) -> None:
        if self.client is not None:
            self._unauthenticated.discard(self.client)

    def _await_request(self) -> None:
        self._cancel_request_timer()
        self._request_timer = self.loop.call_later(self._limits.request_s, self.transport.abort)

    def _cancel_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None


class BoundedWebSocket(_WriteTimeout, WebSocketsSansIOProtocol):
    """A WebSocket that reads nothing from a client while that client takes no data, and ends in time.

    Args:
        unauthenticated: counts the connection until its client has shown the token.
        limits: the server's bounds.
        uvicorn: the arguments of uvicorn's class.
    """

    _ending: asyncio.TimerHandle | None = None

    def __init__(self, *, unauthenticated: UnauthenticatedConnections, limits: Limits, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._unauthenticated, self._limits = unauthenticated, limits

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection was taken over from HTTP, with the request still to be read."""
        super().connection_made(transport)
        self._end_after(self._limits.request_s)

    def data_received(self, data: bytes) -> None:
        """The request, which comes in one piece, or what the client sends later."""
        super().data_received(data)
        if not self.handshake_initiated:  # the parser has rejected the request, and keeps that to itself
            self.transport.write(_BAD_REQUEST)
            self.transport.close()
        if self.transport.is_closing():
            self._end_after(self._limits.stalled_s)

    def keepalive_timeout(self) -> None:
        """The client does not answer pings."""
        super().keepalive_timeout()
        self._end_after(self._limits.stalled_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._end_after(None)
        if self.client is not None:
            self._unauthenticated.discard(self.client)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The buffer is full: pings, which are answered, would make it grow."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The buffer has room again."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def send_receive_event_to_app(self) -> None:
        """A message has come: that it has is enough, so its text is not decoded, which may fail."""
        self.curr_msg_data_type = "bytes"
        super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        """Send a message of the app."""
        if self.close_sent and self.initial_response is None:
            raise ClientDisconnected
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # else uvicorn logs a refusal as an app that has not answered
            self._end_after(self._limits.stalled_s)
        elif self.handshake_complete:
            self._end_after(None)

    def _end_after(self, seconds: float | None) -> None:
        """End the connection after so long, whatever the client takes or sends; None: it may go on."""
        if self._ending is not None:
            self._ending.cancel()
        self._ending = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)


def uvicorn_limits(max_streams: int, unauthenticated: UnauthenticatedConnections, limits: Limits) -> dict[str, Any]:
    """The arguments of `uvicorn.Config` that bound heads, messages, connections and answers to pings.

    Args:
        max_streams: streams that may be open at once.
        unauthenticated: connections whose clients have not shown the token.
        limits: the server's bounds.
    """
    return {
        "http": partial(BoundedHttp, unauthenticated=unauthenticated, limits=limits),
        "ws": partial(BoundedWebSocket, unauthenticated=unauthenticated, limits=limits),
        "backlog": BACKLOG,
        "limit_concurrency": max_streams + limits.spare_connections,
        "h11_max_incomplete_event_size": MAX_HEAD_BYTES,
        "timeout_keep_alive": int(limits.request_s) // 2,
        "ws_max_size": 1024,
        "ws_ping_interval": 10.0,
        "ws_ping_timeout": 10.0,
        "ws_per_message_deflate": False,
    }
