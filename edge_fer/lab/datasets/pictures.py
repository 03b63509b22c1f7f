"""Pictures of a data set at the size of a network."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.lab.datasets.dataset import Images, read_picture
from edge_fer.types import Image


def resize(picture: Image, size: int) -> Image:
    """A picture, grey or BGR, of `size` x `size` pixels: by area where it shrinks, bicubic where it grows."""
    how = cv2.INTER_AREA if max(picture.shape[:2]) > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)


def resized(images: Images, size: int, *, colour: bool = False) -> NDArray[np.uint8]:
    """All pictures at one size: `(n, size, size)` uint8, grey, or `(n, size, size, 3)` uint8, BGR."""
    return np.stack([resize(read_picture(images, index, colour=colour), size) for index in range(len(images))])
