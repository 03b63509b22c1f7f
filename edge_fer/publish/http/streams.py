"""Readings as server-sent events and through a WebSocket, pictures as MJPEG: until the client goes, or we do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from edge_fer.publish.http.hub import Hub
from edge_fer.publish.http.live import Live

_BOUNDARY = "frame"
_GOING_AWAY, _POLICY_VIOLATION = 1001, 1008  # RFC 6455, 7.4.1


class Places:
    """So many streams at once.

    Args:
        limit: how many.

    Attributes:
        taken: how many there are.
    """

    def __init__(self, limit: int) -> None:
        self.taken = 0
        self._limit = limit

    @property
    def free(self) -> bool:
        """Whether there is room for one more."""
        return self.taken < self._limit

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place for a while."""
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class _Stream(StreamingResponse):
    """An answer without an end, in a place that is taken as long as it lasts."""

    def __init__(self, content: AsyncIterator[bytes], places: Places) -> None:
        super().__init__(content, headers={"X-Accel-Buffering": "no"})
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._places.one():
            await super().__call__(scope, receive, send)


class EventStream(_Stream):
    """Records as server-sent events."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, places: Places) -> None:
        super().__init__(_events(hub), places)


class Mjpeg(_Stream):
    """Pictures, each in the place of the last."""

    media_type = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"

    def __init__(self, live: Live, places: Places) -> None:
        super().__init__(_pictures(live), places)


async def serve_web_socket(hub: Hub, places: Places, socket: WebSocket) -> None:
    """Records as text messages. A client has nothing to say: one that does is cut off."""
    try:
        with places.one(), hub.client() as client:
            await socket.accept()
            listener = asyncio.create_task(socket.receive())
            listener.add_done_callback(lambda _: client.end())
            try:
                while messages := await client.take():
                    for message in messages:
                        await socket.send_text(message.text)
                await socket.close(_POLICY_VIOLATION if listener.done() else _GOING_AWAY)
            finally:
                listener.cancel()
    except WebSocketDisconnect:
        return


async def _events(hub: Hub) -> AsyncIterator[bytes]:
    with hub.client() as client:
        while messages := await client.take():
            yield b"".join(message.event for message in messages)


async def _pictures(live: Live) -> AsyncIterator[bytes]:
    # A browser shows a part when it sees the boundary after it, so that goes with the part.
    yield f"--{_BOUNDARY}\r\n".encode()
    with live.watcher() as watcher:
        while (jpeg := await watcher.take()) is not None:
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + f"\r\n--{_BOUNDARY}\r\n".encode()
