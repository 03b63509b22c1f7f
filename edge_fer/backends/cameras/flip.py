"""A source whose pictures are mirrored here, since it cannot do that itself."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.backends.cameras import Source
from edge_fer.types import Image


def flipped(source: Source, *, horizontally: bool, vertically: bool) -> Source:
    """The source, mirrored where anything is to mirror; see `Flip`."""
    if not (horizontally or vertically):
        return source
    return Flip(source, horizontally=horizontally, vertically=vertically)


class Flip:
    """Mirrors each picture of a source.

    Args:
        source: to read from.
        horizontally: left to right.
        vertically: top to bottom.
    """

    def __init__(self, source: Source, *, horizontally: bool, vertically: bool) -> None:
        self._source = source
        self._code = -1 if horizontally and vertically else int(horizontally)  # as cv2.flip counts
        self.name, self.live, self.fps = source.name, source.live, source.fps

    @property
    def skipped(self) -> int:
        """Pictures that the source left out."""
        return self._source.skipped

    def read(self) -> tuple[Image, int] | None:
        """The next frame, mirrored; see `edge_fer.backends.cameras.Source.read`."""
        taken = self._source.read()
        return None if taken is None else (np.asarray(cv2.flip(taken[0], self._code), np.uint8), taken[1])

    def close(self) -> None:
        """Close the source."""
        self._source.close()
