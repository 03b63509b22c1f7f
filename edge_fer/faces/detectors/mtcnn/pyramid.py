"""P-Net's pyramid: one picture in many sizes, packed side by side onto one canvas of a fixed shape.

P-Net has a window of 12x12 pixels and a stride of two. Levels lie at even coordinates, so that the windows fall on the
same pixels as on the level alone, and only windows that lie wholly within a level are used: so the levels need no
margins between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

CELL = 12
"""Side of P-Net's window for each of its output cells, pixels."""
STRIDE = 2
"""Distance of P-Net's windows, pixels."""
_BLOCK = 64  # rows of a level that are computed at a time, so that intermediate results stay in the cache


@dataclass(frozen=True, slots=True)
class Level:
    """One size of the picture, and its place on the canvas.

    Attributes:
        scale: its size relative to the picture.
        width: width of the level, pixels.
        height: height of the level, pixels.
        x: its left side on the canvas, pixels; even.
        y: its top on the canvas, pixels; even.
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

        Along an odd side the `mtcnn` package uses one window more, which extends beyond the edge by a pixel.
        """
        top, left = self.y // STRIDE, self.x // STRIDE
        rows, columns = ((side - CELL) // STRIDE + 1 for side in (self.height, self.width))
        return slice(top, top + rows), slice(left, left + columns)


def pyramid_scales(width: int, height: int, min_face: int, factor: float) -> list[float]:
    """The scales at which P-Net searches a picture: from the smallest face to the shorter side.

    Args:
        width: width of the picture, pixels.
        height: height of the picture, pixels.
        min_face: side of the smallest face to find, pixels.
        factor: each scale relative to the one before, below 1.

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

    Each is placed as far up, then as far left, as it fits (the "bottom left" rule of Baker et al. 1980, turned to the
    picture's axes). With a factor of 0.709 a tenth of the canvas stays empty.

    Args:
        width: width of the picture, pixels.
        height: height of the picture, pixels.
        scales: the scales of the levels; see `pyramid_scales`.

    Returns:
        Levels in the order of `scales`.
    """
    levels: list[Level] = []
    for scale in scales:
        side = int(width * scale), int(height * scale)
        levels.append(next(level for level in _places(levels, scale, *side) if _is_free(level, levels)))
    return tuple(levels)


def _places(levels: list[Level], scale: float, width: int, height: int) -> Iterator[Level]:
    """Possible places of a level: at the sides of other levels or of the canvas, topmost first, then leftmost."""
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
    """The canvas with a picture's pyramid; `fill` replaces its content with the next picture of the same size.

    Args:
        width: width of the pictures, pixels.
        height: height of the pictures, pixels.
        min_face: side of the smallest face to find, pixels.
        factor: each scale relative to the one before, below 1.

    Attributes:
        source: width and height of the pictures, pixels.
        levels: the place of each level; none where the picture is smaller than `min_face`.
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
        """Draw a picture onto the canvas, in every size.

        Args:
            pixels: `(height, width, 3)` float32, RGB, -1..1; see `networks.standardise`.
        """
        for row, before, after in zip(pixels, self._sums[:-1], self._sums[1:], strict=True):
            np.add(before, row, out=after)
        for level in self.levels:
            _shrink(pixels, self._sums, self.pixels[level.place])


def _shrink(pixels: Array, sums: Array, target: Array) -> None:
    """Shrink a picture by area averaging, as exactly as float32 allows: first its rows, by sums that all levels share.

    Anything less exact, even rounding to whole pixel values, moves the final boxes by several pixels.

    Args:
        pixels: `(height, width, 3)` float32.
        sums: `(height + 1, width, 3)` float32: for each row, the sum of all rows above it.
        target: `(rows, columns, 3)` float32, no larger than the picture; the result is written here.
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
