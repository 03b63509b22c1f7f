"""The camera's picture with what was seen drawn in, made only while somebody watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2

from edge_fer.annotate import annotate
from edge_fer.blur import blur_faces
from edge_fer.publish.http.handover import Handover
from edge_fer.settings import HttpSettings
from edge_fer.types import Image, Reading

_QUALITY = 80


class Watcher:
    """One who watches; gets the newest picture whenever it has sent the last."""

    def __init__(self) -> None:
        self._jpeg: bytes | None = None
        self._news = asyncio.Event()

    def put(self, jpeg: bytes | None) -> None:
        """Show this picture next; null: no more."""
        self._jpeg = jpeg
        self._news.set()

    async def take(self) -> bytes | None:
        """The next picture, a JPEG; null once all is over."""
        await self._news.wait()
        self._news.clear()
        return self._jpeg


class Live:
    """Makes pictures in the sink's thread and shows them in the server's.

    Args:
        settings: how many a second, how large.
        blur: make faces unrecognisable.
        clock: seconds that never go backwards.

    Attributes:
        handover: carries JPEGs to the server's thread; the newest wins.
    """

    def __init__(self, settings: HttpSettings, *, blur: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.handover: Handover[bytes] = Handover(1, self._show)
        self._settings, self._blur, self._clock = settings, blur, clock
        self._due = clock()
        self._watchers: set[Watcher] = set()

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
        picture = annotate(blur_faces(image, reading.faces) if self._blur else image, reading)
        self.handover.put(_jpeg(picture, self._settings.live_size))

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
            watcher.put(None)

    def _show(self, jpeg: bytes) -> None:
        for watcher in self._watchers:
            watcher.put(jpeg)


def _jpeg(picture: Image, size: int) -> bytes:
    """A picture as JPEG, its long side `size` pixels at most."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    shrunk = (max(round(width * scale), 1), max(round(height * scale), 1))
    shown = cv2.resize(picture, shrunk, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    return cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
