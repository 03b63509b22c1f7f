"""Pictures of a data set at the size of a network."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.lab.datasets.dataset import Images
from edge_fer.types import Image


def resize(picture: Image, size: int) -> Image:
    """A picture of `size` x `size` pixels: by area where it shrinks, bicubic where it grows."""
    how = cv2.INTER_AREA if max(picture.shape) > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)


def resized(images: Images, size: int) -> NDArray[np.uint8]:
    """All of them, `(n, size, size)` uint8, grey."""
    return np.stack([resize(images[index], size) for index in range(len(images))])
