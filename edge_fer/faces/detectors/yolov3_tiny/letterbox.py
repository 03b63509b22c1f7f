"""A picture of any size in the square input of a network: scaled as a whole, with grey bars at two of its sides."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_fer.faces.boxes import Boxes, clip
from edge_fer.faces.resize import fit
from edge_fer.types import Image

GREY = 127
"""Of what is beyond the picture."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A picture in a square, and the way back.

    Attributes:
        image: `(size, size, 3)` uint8, BGR.
        left: columns of the left bar, pixels.
        top: rows of the upper bar, pixels.
        scale: width and height of the picture relative to its copy in the square.
        width: width of the picture, pixels.
        height: height of the picture, pixels.
    """

    image: Image
    left: int
    top: int
    scale: tuple[float, float]
    width: int
    height: int

    def to_picture(self, boxes: Boxes) -> Boxes:
        """Boxes in pixels of the picture, and inside it.

        Args:
            boxes: `(n, 4)` float32, pixels of the square.
        """
        ratio, offset = self._way
        return clip((boxes - offset + np.float32(0.5)) * ratio - np.float32(0.5), self.width, self.height)

    def to_square(self, boxes: Boxes) -> Boxes:
        """Boxes in pixels of the square.

        Args:
            boxes: `(n, 4)` float32, pixels of the picture.
        """
        ratio, offset = self._way
        placed: Boxes = (boxes + np.float32(0.5)) / ratio - np.float32(0.5) + offset
        return placed

    @property
    def _way(self) -> tuple[Boxes, Boxes]:
        """For each side of a box, pixels of the picture a pixel of its copy, and where the copy begins."""
        return np.array(self.scale * 2, np.float32), np.array([self.left, self.top] * 2, np.float32)


def letterbox(image: Image, size: int) -> Letterbox:
    """Bring a picture into a square.

    Args:
        image: `(height, width, 3)` uint8, BGR; a smaller one is enlarged.
        size: side of the square, pixels.
    """
    height, width = image.shape[:2]
    small = fit(image, size)
    if max(height, width) < size:
        scale = size / max(height, width)
        target = max(round(width * scale), 1), max(round(height * scale), 1)
        small = np.asarray(cv2.resize(image, target, interpolation=cv2.INTER_LINEAR), np.uint8)
    rows, columns = small.shape[:2]
    top, left = (size - rows) // 2, (size - columns) // 2
    square = np.full((size, size, 3), GREY, np.uint8)
    square[top : top + rows, left : left + columns] = small
    return Letterbox(square, left, top, (width / columns, height / rows), width, height)
