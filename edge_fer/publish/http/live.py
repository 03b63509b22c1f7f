"""The camera's picture with what was seen drawn in, made only while somebody watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2

from edge_fer.publish.drawing.annotate import annotate
from edge_fer.publish.drawing.blur import blur_faces
from edge_fer.publish.http.handover import Handover
from edge_fer.schema import Reading
from edge_fer.settings import HttpSettings
from edge_fer.types import Image

_QUALITY = 80


class Watcher:
    """One who watches; gets the newest picture whenever it has sent the last."""

    def __init__(self) -> None:
        self._jpeg: bytes | None = None
        self._news = asyncio.Event()
        self._ended = False

    def put(self, jpeg: bytes) -> None:
        """Show this picture next."""
        self._jpeg = jpeg
        self._news.set()

    def end(self) -> None:
        """Have `take` return null from now on."""
        self._ended = True
        self._news.set()

    async def take(self) -> bytes | None:
        """The next picture, a JPEG; null once all is over."""
        await self._news.wait()
        self._news.clear()
        return None if self._ended else self._jpeg


class Live:
    """Shows frames that the sink's thread offers, made into pictures by a third one: neither readings nor clients wait.

    Args:
        settings: how many a second, how large.
        blur: make faces unrecognisable.
        clock: seconds that never go backwards.

    Attributes:
        handover: carries frames and their readings to the server's thread; the newest wins.
    """

    def __init__(self, settings: HttpSettings, *, blur: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.handover: Handover[tuple[Image, Reading]] = Handover(1, self._make)
        self._settings, self._blur, self._clock = settings, blur, clock
        self._due = clock()
        self._watchers: set[Watcher] = set()
        self._making = False

    def offer(self, image: Image, reading: Reading) -> None:
        """Show a frame, if somebody watches and its time has come.

        Args:
            image: `(height, width, 3)` uint8, BGR; not written to.
            reading: of this frame.
        """
        now = self._clock()
        if not self._watchers or now < self._due:
            return
        # Counted from when it was due, so that the rate is kept on average; but never made up for.
        self._due = max(self._due + 1 / self._settings.live_fps, now)
        self.handover.put((image, reading))

    @contextmanager
    def watcher(self) -> Iterator[Watcher]:
        """One who watches from now on; in the server's thread."""
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """Have every stream end; in the server's thread."""
        for watcher in self._watchers:
            watcher.end()
        self._making = False

    def _make(self, offered: tuple[Image, Reading]) -> None:
        """Begin to make a picture, unless one is being made: then the processor has no time for this one."""
        if not self._making:
            self._making = True
            asyncio.get_running_loop().run_in_executor(None, self._draw, *offered).add_done_callback(self._show)

    def _draw(self, image: Image, reading: Reading) -> bytes:
        picture = annotate(blur_faces(image, reading.faces) if self._blur else image, reading)
        return _jpeg(picture, self._settings.live_size)

    def _show(self, made: asyncio.Future[bytes]) -> None:
        self._making = False
        for watcher in self._watchers:
            watcher.put(made.result())


def _jpeg(picture: Image, size: int) -> bytes:
    """A picture as JPEG, its long side `size` pixels at most."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    shrunk = (max(round(width * scale), 1), max(round(height * scale), 1))
    shown = cv2.resize(picture, shrunk, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    return cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
