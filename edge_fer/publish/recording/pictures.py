"""Each picture in a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import cv2

from edge_fer.publish.recording.bounds import Bounds
from edge_fer.publish.recording.new_file import FileMaker
from edge_fer.schema import Reading
from edge_fer.types import Image


class Pictures:
    """Writes pictures, JPEG or PNG.

    Args:
        maker: makes their files.
        bounds: enforced at the start, and again and again.
        batch: between two times that the bounds are enforced, bytes; None: only at the start.
        now: the local time.
    """

    def __init__(self, maker: FileMaker, bounds: Bounds, batch: float | None, now: Callable[[], datetime]) -> None:
        self._maker, self._bounds, self._batch, self._now = maker, bounds, batch, now
        self._room = 0.0  # until the bounds are enforced again, bytes

    def write(self, reading: Reading, picture: Image) -> None:
        """Write the picture of a reading, `(height, width, 3)` uint8, BGR.

        Raises:
            OutputError: when there is too little space.
            OSError: when it cannot be written.
        """
        if self._room <= 0:
            self._bounds.enforce(room=self._batch or 0)
            self._room = self._batch or float("inf")
        name = Path(reading.source_file).stem if reading.source_file is not None else f"{reading.frame:06d}"
        file = self._maker.make(self._now(), name)
        try:
            content = cv2.imencode(file.path.suffix.lower(), picture)[1].tobytes()
            file.write(content)
        except BaseException:
            file.discard()  # half a picture is none
            raise
        file.close()
        self._room -= len(content)

    def close(self) -> None:
        """Nothing is left to be done."""
