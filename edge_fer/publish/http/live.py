"""The camera's picture with the reading drawn in, made only while there are viewers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2

from edge_fer.publish.drawing.annotate import annotate
from edge_fer.publish.drawing.face_hider import Hider
from edge_fer.publish.http.handover import Handover
from edge_fer.schema import Reading
from edge_fer.settings import HttpSettings
from edge_fer.types import Image

_QUALITY = 80  # of the JPEG, percent


class Viewer:
    """One client that receives pictures: the newest one whenever it has sent the last."""

    def __init__(self) -> None:
        self._jpeg: bytes | None = None
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, jpeg: bytes) -> None:
        """Show this picture next."""
        self._jpeg = jpeg
        self._changed.set()

    def end(self) -> None:
        """Let `take` return None from now on."""
        self._ended = True
        self._changed.set()

    async def take(self) -> bytes | None:
        """Wait for the next picture, a JPEG; None once there will be no more."""
        await self._changed.wait()
        self._changed.clear()
        return None if self._ended else self._jpeg


class LiveView:
    """Shows frames that the sink's thread offers.

    A third thread makes the pictures, so that neither readings nor clients wait. `offer` belongs to the sink's thread,
    all the rest to the server's; between them stands the handover. The sink's thread also reads whether there are
    viewers, and it does no harm when that answer is one frame old.

    Args:
        settings: how many pictures a second, and their size.
        hider: what the pictures pass before anybody sees them; used in the third thread.
        clock: seconds that never go backwards.

    Attributes:
        handover: carries frames and their readings to the server's thread; the newest wins.
    """

    def __init__(self, settings: HttpSettings, hider: Hider, clock: Callable[[], float] = time.monotonic) -> None:
        self.handover: Handover[tuple[Image, Reading]] = Handover(1, self._make)
        self._settings, self._hider, self._clock = settings, hider, clock
        self._due = clock()
        self._viewers: set[Viewer] = set()
        self._making = False

    def offer(self, image: Image, reading: Reading) -> None:
        """Show a frame, if there are viewers and the next picture is due.

        Args:
            image: `(height, width, 3)` uint8, BGR; not written to.
            reading: the reading of this frame.
        """
        now = self._clock()
        if not self._viewers or now < self._due:
            return
        # The next one is due a period after this one was due: so the rate is kept on average, but a delay is never made
        # up for.
        self._due = max(self._due + 1 / self._settings.live_fps, now)
        self.handover.put((image, reading))

    @contextmanager
    def viewer(self) -> Iterator[Viewer]:
        """A new viewer while the context lasts."""
        viewer = Viewer()
        self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)

    def close(self) -> None:
        """End every stream."""
        for viewer in self._viewers:
            viewer.end()
        self._making = False

    def _make(self, offered: tuple[Image, Reading]) -> None:
        """Start to make a picture, unless one is being made: then the processor has no time for this one."""
        if not self._making:
            self._making = True
            asyncio.get_running_loop().run_in_executor(None, self._draw, *offered).add_done_callback(self._show)

    def _draw(self, image: Image, reading: Reading) -> bytes | None:
        """The newest picture that may be seen, a JPEG; None while there is none."""
        visible = list(self._hider.add(image, reading))
        return _jpeg(annotate(*visible[-1]), self._settings.live_size) if visible else None

    def _show(self, made: asyncio.Future[bytes | None]) -> None:
        self._making = False
        jpeg = made.result()
        for viewer in self._viewers:
            if jpeg is not None:
                viewer.put(jpeg)


def _jpeg(picture: Image, size: int) -> bytes:
    """A picture as JPEG, its long side `size` pixels at most."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    shrunk = (max(round(width * scale), 1), max(round(height * scale), 1))
    shown = cv2.resize(picture, shrunk, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    return cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
