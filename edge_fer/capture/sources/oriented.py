"""A source whose pictures are mirrored and turned here, since it cannot do that itself."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.capture.sources import Source
from edge_fer.types import Image

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def oriented(source: Source, *, hflip: bool, vflip: bool, rotate: int) -> Source:
    """The source, its pictures mirrored and turned where that is asked; see `Oriented`."""
    return Oriented(source, hflip=hflip, vflip=vflip, rotate=rotate) if hflip or vflip or rotate else source


class Oriented:
    """Mirrors each picture of a source, then turns it.

    Args:
        source: to read from.
        hflip: left to right.
        vflip: top to bottom.
        rotate: 0, 90, 180 or 270 degrees clockwise.
    """

    def __init__(self, source: Source, *, hflip: bool, vflip: bool, rotate: int) -> None:
        self._source = source
        self._mirror = (-1 if hflip and vflip else int(hflip)) if hflip or vflip else None  # as cv2.flip counts
        self._turn = _TURNS.get(rotate)
        self.name, self.live, self.fps = source.name, source.live, source.fps

    @property
    def skipped(self) -> int:
        """Pictures that the source left out."""
        return self._source.skipped

    def read(self) -> tuple[Image, int] | None:
        """The next frame; see `edge_fer.capture.sources.Source.read`."""
        taken = self._source.read()
        if taken is None:
            return None
        image, captured_ns = taken
        if self._mirror is not None:
            image = np.asarray(cv2.flip(image, self._mirror), np.uint8)
        if self._turn is not None:
            image = np.asarray(cv2.rotate(image, self._turn), np.uint8)
        return image, captured_ns

    def close(self) -> None:
        """Close the source."""
        self._source.close()
