"""Readings as server-sent events or by WebSocket, pictures as MJPEG: until the client goes or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from edge_fer.publish.http.hub import Hub
from edge_fer.publish.http.live import LiveView

_BOUNDARY = "frame"
_GOING_AWAY, _POLICY_VIOLATION = 1001, 1008  # RFC 6455, 7.4.1


class StreamSlots:
    """Bounds how many streams are open at once; used in the server's thread.

    Args:
        limit: how many may be open.

    Attributes:
        in_use: how many are open.
    """

    def __init__(self, limit: int) -> None:
        self.in_use = 0
        self._limit = limit

    @property
    def available(self) -> bool:
        """Whether one more may be opened."""
        return self.in_use < self._limit

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Use one slot while the context lasts."""
        self.in_use += 1
        try:
            yield
        finally:
            self.in_use -= 1


class _Stream(StreamingResponse):
    """An answer without an end, which uses a slot as long as it lasts."""

    def __init__(self, content: AsyncIterator[bytes], slots: StreamSlots) -> None:
        super().__init__(content, headers={"X-Accel-Buffering": "no"})
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._slots.acquire():
            await super().__call__(scope, receive, send)


class EventStream(_Stream):
    """Records as server-sent events.

    Args:
        hub: delivers the records.
        slots: bounds the number of streams.
    """

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, slots: StreamSlots) -> None:
        super().__init__(_events(hub), slots)


class Mjpeg(_Stream):
    """Pictures, of which each replaces the one before it.

    Args:
        live: delivers the pictures.
        slots: bounds the number of streams.
    """

    media_type = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"

    def __init__(self, live: LiveView, slots: StreamSlots) -> None:
        super().__init__(_pictures(live), slots)


async def serve_web_socket(hub: Hub, slots: StreamSlots, socket: WebSocket) -> None:
    """Send records as text messages. A client should send nothing: one that does is disconnected.

    Args:
        hub: delivers the records.
        slots: bounds the number of streams.
        socket: the client's connection.
    """
    try:
        with slots.acquire(), hub.subscribe() as subscriber:
            await socket.accept()
            listener = asyncio.create_task(socket.receive())
            listener.add_done_callback(lambda _: subscriber.end())
            try:
                while messages := await subscriber.take():
                    for message in messages:
                        await socket.send_text(message.text)
                await socket.close(_POLICY_VIOLATION if listener.done() else _GOING_AWAY)
            finally:
                listener.cancel()
    except WebSocketDisconnect:
        return


async def _events(hub: Hub) -> AsyncIterator[bytes]:
    with hub.subscribe() as subscriber:
        while messages := await subscriber.take():
            yield b"".join(message.event for message in messages)


async def _pictures(live: LiveView) -> AsyncIterator[bytes]:
    # A browser shows a part once it has the boundary after it, so the boundary is sent with the part.
    yield f"--{_BOUNDARY}\r\n".encode()
    with live.viewer() as viewer:
        while (jpeg := await viewer.take()) is not None:
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + f"\r\n--{_BOUNDARY}\r\n".encode()
