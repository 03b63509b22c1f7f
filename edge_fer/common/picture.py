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
