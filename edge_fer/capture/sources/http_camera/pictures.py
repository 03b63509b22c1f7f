"""A camera's encoded pictures, one after the other: parts of an endless answer, or an answer each."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Protocol

from edge_fer.capture.sources.http_camera.connection import Connection
from edge_fer.capture.sources.http_camera.jpeg_cutter import MAX_PICTURE_BYTES, EncodedPicture, JpegCutter

MAX_BROKEN = 30
"""After so many pictures in a row that cannot be read the camera is given up."""

SNAPSHOTS_FPS = 5.0
"""How often a camera is asked for a picture where `capture.fps` is null, Hz."""

_PIECE_BYTES = 1 << 18
_MOST_WAITING_BYTES = 8 << 20  # more than the kernel keeps; who sends faster than we read could go on for ever


class Pictures(Protocol):
    """Where a camera's pictures come from."""

    @property
    def fps(self) -> float | None:
        """Pictures a second; None where unknown."""
        ...

    @property
    def dropped(self) -> int:
        """How many pictures newer ones overtook."""
        ...

    @property
    def broken(self) -> int:
        """How many pictures broke off or were damaged."""
        ...

    def next(self) -> EncodedPicture:
        """Wait for the newest picture.

        Raises:
            OSError: when there will be none.
        """
        ...


class MjpegPictures:
    """Motion JPEG: the pictures of one endless answer.

    Args:
        answer: the answer.
        channel: what it arrives at.
    """

    fps = None

    def __init__(self, answer: HTTPResponse, channel: socket.socket) -> None:
        self.dropped = 0
        self._answer, self._channel = answer, channel
        self._cutter = JpegCutter()

    @property
    def broken(self) -> int:
        """How many pictures broke off or were damaged."""
        return self._cutter.broken

    def next(self) -> EncodedPicture:
        """Wait for a picture; where newer ones have arrived meanwhile, the newest."""
        pictures: list[EncodedPicture] = []
        most_broken, more = self.broken + MAX_BROKEN, _MOST_WAITING_BYTES
        while not pictures or (more > 0 and self._more_has_arrived()):
            piece = self._receive()
            more -= len(piece)
            pictures += self._cutter.feed(piece, time.monotonic_ns())
            if self.broken >= most_broken:
                raise OSError(f"{MAX_BROKEN} pictures in a row broke off")
        self.dropped += len(pictures) - 1
        return pictures[-1]

    def _more_has_arrived(self) -> bool:
        """Whether there is more to read at once than the end of a chunk, after which a read would wait."""
        if self._answer.isclosed():
            return False
        self._channel.setblocking(False)
        try:
            return len(self._answer.fp.peek(1)) > len(b"\r\n")
        except ssl.SSLWantReadError:
            return False
        finally:
            self._channel.setblocking(True)

    def _receive(self) -> bytes:
        try:
            piece = self._answer.read1(_PIECE_BYTES)
        except HTTPException:  # an end within a chunk
            piece = b""
        if not piece:
            raise OSError("it gives no more frames")
        return piece


class Snapshots:
    """A picture for each request.

    Args:
        connection: where to ask.
        answer: its first answer.
        fps: how often to ask, Hz; None: `SNAPSHOTS_FPS`.
        clock: seconds that never go backwards.
        sleep: waits for so many seconds.
    """

    dropped = 0

    def __init__(
        self,
        connection: Connection,
        answer: HTTPResponse,
        fps: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.fps = fps or SNAPSHOTS_FPS
        self.broken = 0
        self._connection = connection
        self._answer: HTTPResponse | None = answer
        self._clock, self._sleep = clock, sleep
        self._due = clock()

    def next(self) -> EncodedPicture:
        """Ask for a picture when the next one is due, and again where it was damaged."""
        for _ in range(MAX_BROKEN):
            self._sleep(max(self._due - self._clock(), 0.0))
            self._due = max(self._due, self._clock()) + 1 / self.fps
            if pictures := JpegCutter().feed(*self._ask()):
                return pictures[0]
            self.broken += 1
        raise OSError(f"{MAX_BROKEN} pictures in a row were damaged, or no JPEG")

    def _ask(self) -> tuple[bytes, int]:
        """The next answer, and CLOCK_MONOTONIC when it began to arrive, nanoseconds; empty where it broke off."""
        answer, self._answer = self._answer or self._connection.get(), None
        captured_ns = time.monotonic_ns()
        try:
            content = answer.read(MAX_PICTURE_BYTES + 1)
        except HTTPException:
            content = b""
        if len(content) > MAX_PICTURE_BYTES:
            raise OSError(f"it sends a picture of more than {MAX_PICTURE_BYTES >> 20} MiB")
        if not answer.isclosed():  # not read to its end: the connection cannot be used for another request
            self._connection.close()
        return content, captured_ns
