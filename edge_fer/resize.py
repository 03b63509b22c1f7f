"""Smaller copies of pictures."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.types import Image


def fit(image: Image, size: int) -> Image:
    """A picture whose long side is at most `size` pixels: shrunk by area averaging, never enlarged.

    Args:
        image: `(height, width, 3)` uint8.
        size: pixels.

    Returns:
        The picture itself where it fits already; each side has at least one pixel.
    """
    height, width = image.shape[:2]
    scale = size / max(width, height)
    if scale >= 1:
        return image
    target = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(image, target, interpolation=cv2.INTER_AREA), dtype=np.uint8)
