"""Arithmetic of many boxes at once: overlap, suppression, clipping, squaring.

A box is a row `[x1, y1, x2, y2]` of an `(n, 4)` float32 array, in pixels: top left corner,
bottom right corner, and an area of `(x2 - x1) * (y2 - y1)`. A box whose right or bottom side
does not lie beyond its left or top side is empty: it has no area and overlaps nothing. All
functions are pure and give new arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_fer.types import Box

Boxes = NDArray[np.float32]
Over = Literal["union", "smaller"]

_BLOCK = 256  # rows of the overlap matrix that are computed at a time, which bounds the memory for a crowded picture


def corners_of(boxes: Sequence[Box]) -> Boxes:
    """Boxes as rows of an array, `(n, 4)` float32: left, top, right and bottom side, pixels."""
    corners = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]
    return np.array(corners, dtype=np.float32).reshape(-1, 4)


def area(boxes: Boxes) -> NDArray[np.float32]:
    """Areas in square pixels: `(n,)` float32, 0 for empty boxes."""
    areas: NDArray[np.float32] = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return areas


def overlap(boxes: Boxes, others: Boxes, over: Over = "union") -> NDArray[np.float32]:
    """The overlap of two boxes, for every pair.

    Args:
        boxes: `(n, 4)` float32, pixels.
        others: `(m, 4)` float32, pixels.
        over: what the intersection's area is divided by: `union` (intersection over union, IoU) or
            `smaller`, the area of the smaller box.

    Returns:
        `(n, m)` float32, 0..1; 0 where either box is empty.
    """
    left, top = (np.maximum(boxes[:, None, side], others[None, :, side]) for side in (0, 1))
    right, bottom = (np.minimum(boxes[:, None, side], others[None, :, side]) for side in (2, 3))
    common = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    areas, other_areas = area(boxes)[:, None], area(others)[None, :]
    divisor = areas + other_areas - common if over == "union" else np.minimum(areas, other_areas)
    shares: NDArray[np.float32] = np.divide(common, divisor, out=np.zeros_like(common), where=common > 0)
    return shares


def suppress(boxes: Boxes, scores: NDArray[np.float32], threshold: float, over: Over = "union") -> NDArray[np.intp]:
    """Non-maximum suppression in one pass, as the `mtcnn` package does it.

    A box is removed when it overlaps any box of higher rank by more than `threshold`, whether or not that box is
    removed as well. (In greedy suppression a removed box removes no others, so a few more boxes stay.)

    Args:
        boxes: `(n, 4)` float32, pixels.
        scores: `(n,)` float32; of equal scores the last has the highest rank.
        threshold: the overlap above which the lower ranked box is removed, 0..1.
        over: what the overlap is divided by; see `overlap`.

    Returns:
        `(k,)` int, the indices of the boxes that stay, best score first.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    ranked = boxes[order]
    rank = np.arange(len(ranked))
    stays = np.ones(len(ranked), dtype=bool)
    for start in range(0, len(ranked), _BLOCK):
        block = slice(start, start + _BLOCK)
        too_close = overlap(ranked[block], ranked[: start + _BLOCK], over) > threshold
        is_better = rank[: start + _BLOCK] < rank[block, None]
        stays[block] = ~(too_close & is_better).any(axis=1)
    return order[stays]


def suppress_greedily(boxes: Boxes, scores: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: a box that is removed removes no others.

    Args:
        boxes: `(n, 4)` float32, pixels; a few hundred at most: all are compared with each other.
        scores: `(n,)` float32; of equal scores the first has the highest rank.
        threshold: the overlap (IoU) above which the lower ranked box is removed, 0..1.

    Returns:
        `(k,)` int, the indices of the boxes that stay, best score first.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = overlap(boxes[order], boxes[order])
    stays = np.ones(len(order), dtype=bool)
    for rank, too_close in enumerate(overlaps > threshold):
        if stays[rank]:
            stays[rank + 1 :] &= ~too_close[rank + 1 :]
    return order[stays]


def clip(boxes: Boxes, width: int, height: int) -> Boxes:
    """Move every side of boxes into the picture; whole coordinates are the centres of pixels.

    Args:
        boxes: `(n, 4)` float32, pixels.
        width: width of the picture, pixels.
        height: height of the picture, pixels.

    Returns:
        `(n, 4)` float32: x in `0..width - 1`, y in `0..height - 1`.
    """
    return np.clip(boxes, 0, np.array([width - 1, height - 1, width - 1, height - 1], dtype=np.float32))


def square(boxes: Boxes) -> Boxes:
    """Make boxes square about their centre, with the longer one of their sides.

    Args:
        boxes: `(n, 4)` float32, pixels.

    Returns:
        `(n, 4)` float32.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.hstack([centres - halves, centres + halves])
