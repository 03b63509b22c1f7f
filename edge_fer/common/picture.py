"""What several rooms do with pictures, and must do in the same way."""

from __future__ import annotations

import cv2
import numpy as np

from edge_fer.types import Image


def enlarge(face: Image, size: int) -> Image:
    """A face as fine as it was sampled, enlarged to the input of a network; one that is no smaller stays as it is.

    A face that is sent to another computer is enlarged there, by this function.

    Args:
        face: square, uint8.
        size: side of the result, pixels.
    """
    if face.shape[0] >= size:
        return face
    return np.asarray(cv2.resize(face, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def check_picture(image: object) -> None:
    """Check what a program gives as a picture.

    Args:
        image: should be `(height, width, 3)` uint8, BGR, as `cv2.imread` gives it.

    Raises:
        TypeError: when it is no array.
        ValueError: when it is no such picture.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"expected a picture (height, width, 3) of uint8, BGR, found {type(image).__name__}; "
            "cv2.imread gives one, or None where there is no such file"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != "uint8" or not image.size:
        raise ValueError(
            f"expected a picture (height, width, 3) of uint8, BGR, found {image.shape} of {image.dtype}; "
            "cv2.imread gives one"
        )
