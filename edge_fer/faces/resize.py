"""Smaller copies of pictures."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.types import Image


def fit(image: Image, size: int) -> Image:
    """Shrink a picture so that its long side has at most `size` pixels; it is never enlarged.

    The picture is averaged over whole blocks of pixels, by a whole factor, and interpolated for the rest of the way,
    by a factor below two. That is three times as quick as area averaging alone, which OpenCV does quickly for whole
    factors only. The columns and rows at the right and at the bottom that fill no whole block are left out.

    Args:
        image: `(height, width, 3)` uint8.
        size: longest allowed side, pixels.

    Returns:
        `(height, width, 3)` uint8; the picture itself where it fits already. Each side has at least one pixel.
    """
    height, width = image.shape[:2]
    scale = size / max(width, height)
    if scale >= 1:
        return image
    target = (max(round(width * scale), 1), max(round(height * scale), 1))
    whole = int(max(width, height) / size)
    if whole > 1 and min(width, height) >= whole:
        image = image[: height - height % whole, : width - width % whole]
        averaged = (image.shape[1] // whole, image.shape[0] // whole)
        image = np.asarray(cv2.resize(image, averaged, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.resize(image, target, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
