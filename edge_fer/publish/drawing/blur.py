"""Makes places of a picture unrecognisable."""

from __future__ import annotations

from collections.abc import Iterable

import cv2

from edge_fer.types import Box, Image

_CELLS = 3
"""Squares across a face: so few that not even a detector takes them for one."""

_ASIDE, _ABOVE, _BELOW = 0.35, 0.5, 0.35
"""The detector's box ends at brow and chin: these shares of it are added for ears, hair and throat."""


def blur_heads(image: Image, boxes: Iterable[Box]) -> Image:
    """Replace each head by a few large squares of its mean colours.

    The largest come first, and each is made of what those before it have left: where heads overlap, nothing is left
    that is finer than their squares.

    Args:
        image: `(height, width, 3)` uint8, BGR; not written to.
        boxes: the faces' boxes in this picture, pixels.

    Returns:
        A new picture of the same shape.
    """
    picture: Image = image.copy()
    for box in sorted(boxes, key=lambda box: -box.width * box.height):
        left, top, right, bottom = head_of(box, image)
        if right > left and bottom > top:
            head = picture[top:bottom, left:right]
            cell = max(box.width, box.height) / _CELLS
            cells = (max(round((right - left) / cell), 1), max(round((bottom - top) / cell), 1))
            coarse = cv2.resize(head, cells, interpolation=cv2.INTER_AREA)
            picture[top:bottom, left:right] = cv2.resize(
                coarse, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST
            )
    return picture


def head_of(box: Box, image: Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a head, cut off at the picture's edges, pixels.

    Args:
        box: the face's box, pixels of `image`.
        image: `(height, width, 3)`: the picture.
    """
    height, width = image.shape[:2]
    left, right = box.x - _ASIDE * box.width, box.x + (1 + _ASIDE) * box.width
    top, bottom = box.y - _ABOVE * box.height, box.y + (1 + _BELOW) * box.height
    return max(int(left), 0), max(int(top), 0), min(int(right) + 1, width), min(int(bottom) + 1, height)
