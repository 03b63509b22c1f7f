"""P-Net's pyramid: one picture in many sizes, packed side by side onto one canvas of a fixed shape.

P-Net looks through windows of 12x12 pixels, every second pixel. Levels lie at even coordinates, so that the
windows fall just where they do on the level alone, and only those wholly within a level are read: windows that
see two of them, and would need margins between them to be kept apart, stay without consequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

CELL = 12  # P-Net sees 12x12 pixels at each of its output cells,
STRIDE = 2  # which lie two pixels apart
_BLOCK = 64  # rows of a level at a time, so that what passes between the steps stays in the cache


@dataclass(frozen=True, slots=True)
class Level:
    """One size of the picture, and its place on the canvas.

    Attributes:
        scale: its pixels for one of the picture.
        width: pixels.
        height: pixels.
        x: its left side on the canvas; even.
        y: its top; even.
    """

    scale: float
    width: int
    height: int
    x: int
    y: int

    @property
    def right(self) -> int:
        """Where the next level may begin, beside it; even."""
        return self.x + self.width + self.width % STRIDE

    @property
    def bottom(self) -> int:
        """Where the next level may begin, below it; even."""
        return self.y + self.height + self.height % STRIDE

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns on the canvas."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    @property
    def cells(self) -> tuple[slice, slice]:
        """The rows and columns of P-Net's output whose windows lie wholly within the level.

        On an odd side the package has one more, which hangs over the edge by a pixel.
        """
        top, left = self.y // STRIDE, self.x // STRIDE
        rows, columns = ((side - CELL) // STRIDE + 1 for side in (self.height, self.width))
        return slice(top, top + rows), slice(left, left + columns)


def pyramid_scales(width: int, height: int, min_face: int, factor: float) -> list[float]:
    """Scales at which P-Net looks at a picture: from the smallest face to the shorter side.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        min_face: side of the smallest face to find, pixels.
        factor: from one scale to the next, below 1.

    Returns:
        Scales, largest first; none where the picture is smaller than `min_face`.
    """
    scales = []
    scale = CELL / min_face
    while int(min(width, height) * scale) >= CELL:
        scales.append(scale)
        scale *= factor
    return scales


def pack(width: int, height: int, scales: list[float]) -> tuple[Level, ...]:
    """Give each scale of a picture a place on a canvas as wide as the largest level.

    Each goes as far up, then as far left, as it fits ("bottom left" with the picture's axes, Baker et al. 1980);
    sides that shrink by 0.709 leave a tenth of the canvas empty.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        scales: from `pyramid_scales`.

    Returns:
        Levels in the order of `scales`.
    """
    levels: list[Level] = []
    for scale in scales:
        side = int(width * scale), int(height * scale)
        levels.append(next(level for level in _places(levels, scale, *side) if _is_free(level, levels)))
    return tuple(levels)


def _places(levels: list[Level], scale: float, width: int, height: int) -> Iterator[Level]:
    """Where a level might go: against the sides of others or of the canvas, topmost first, then leftmost."""
    for y in sorted({0, *(level.bottom for level in levels)}):
        for x in sorted({0, *(level.right for level in levels)}):
            yield Level(scale, width, height, x, y)


def _is_free(level: Level, levels: list[Level]) -> bool:
    """Whether it ends within the canvas and covers none of the others."""
    limit = levels[0].right if levels else level.right
    return level.right <= limit and all(
        level.right <= other.x or other.right <= level.x or level.bottom <= other.y or other.bottom <= level.y
        for other in levels
    )


class Canvas:
    """A picture's pyramid, filled anew for each picture of the same size.

    Attributes:
        source: width and height of the pictures, pixels.
        levels: where each size lies; none where the picture is smaller than `min_face`.
        pixels: `(height, width, 3)` float32, the canvas itself; mid-grey between the levels.
    """

    def __init__(self, width: int, height: int, min_face: int, factor: float) -> None:
        self.source = width, height
        self.levels = pack(width, height, pyramid_scales(width, height, min_face, factor))
        bottom = max((level.bottom for level in self.levels), default=0)
        right = max((level.right for level in self.levels), default=0)
        self.pixels: Array = np.zeros((bottom, right, 3), np.float32)
        self._sums: Array = np.zeros((height + 1, width, 3), np.float32)

    def fill(self, pixels: Array) -> None:
        """Put a picture onto the canvas, in every size.

        Args:
            pixels: `(height, width, 3)` float32.
        """
        for row, before, after in zip(pixels, self._sums[:-1], self._sums[1:], strict=True):
            np.add(before, row, out=after)
        for level in self.levels:
            _shrink(pixels, self._sums, self.pixels[level.place])


def _shrink(pixels: Array, sums: Array, target: Array) -> None:
    """Area averaging, as exact as float32: rows by the sums that all levels share, then columns.

    Anything less exact, even rounding to whole pixel values, moves the final boxes by several pixels.

    Args:
        pixels: `(height, width, 3)` float32.
        sums: `(height + 1, width, 3)` float32: of all rows above.
        target: `(rows, columns, 3)` float32, no larger than the picture; the result goes here.
    """
    height, (rows, columns) = len(pixels), target.shape[:2]
    edges = np.arange(rows + 1) * (height / rows)
    whole = np.minimum(edges.astype(int), height - 1)
    share = (edges - whole).astype(np.float32)[:, None, None]
    for start in range(0, rows, _BLOCK):
        block = slice(start, min(start + _BLOCK, rows) + 1)
        above = pixels[whole[block]]
        above *= share[block]
        above += sums[whole[block]]
        averaged = above[1:] - above[:-1]
        cv2.resize(averaged, (columns, len(averaged)), target[start : start + _BLOCK], 0, 0, cv2.INTER_AREA)
    target *= np.float32(rows / height)
