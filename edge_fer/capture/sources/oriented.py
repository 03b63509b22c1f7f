"""A source whose pictures are mirrored and rotated here, since it cannot do that itself."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.capture.sources import Source, SourceFrame

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def oriented(source: Source, *, hflip: bool, vflip: bool, rotate: int) -> Source:
    """The source itself, or one whose pictures are mirrored and rotated where the settings ask for it.

    Args:
        source: see `Oriented`.
        hflip: see `Oriented`.
        vflip: see `Oriented`.
        rotate: see `Oriented`.
    """
    return Oriented(source, hflip=hflip, vflip=vflip, rotate=rotate) if hflip or vflip or rotate else source


class Oriented:
    """Mirrors each picture of a source, then rotates it.

    Args:
        source: where the pictures come from.
        hflip: whether to mirror left to right.
        vflip: whether to mirror top to bottom.
        rotate: 0, 90, 180 or 270 degrees clockwise.
    """

    def __init__(self, source: Source, *, hflip: bool, vflip: bool, rotate: int) -> None:
        self._source = source
        self._flip = (-1 if hflip and vflip else int(hflip)) if hflip or vflip else None  # the codes of cv2.flip
        self._rotation = _ROTATIONS.get(rotate)
        self.name, self.live, self.fps = source.name, source.live, source.fps

    @property
    def skipped(self) -> int:
        """How many pictures the source left out."""
        return self._source.skipped

    def read(self) -> SourceFrame | None:
        """Read the next frame; see `edge_fer.capture.sources.Source.read`."""
        taken = self._source.read()
        if taken is None:
            return None
        image = taken.image
        if self._flip is not None:
            image = np.asarray(cv2.flip(image, self._flip), np.uint8)
        if self._rotation is not None:
            image = np.asarray(cv2.rotate(image, self._rotation), np.uint8)
        return taken._replace(image=image)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
