"""How a child process that decodes pictures itself hands them over to its parent."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.process.child import Memory


def write_frame(memory: Memory, picture: NDArray[Any], captured_ns: int) -> dict[str, int | str]:
    """Hand a frame over to the parent.

    Args:
        memory: the shared memory; the pixels are written to it as `(height, width, 3)` uint8, BGR.
        picture: the picture as the camera gave it; see `to_bgr`.
        captured_ns: CLOCK_MONOTONIC at capture, nanoseconds.

    Returns:
        The reply of a child's `read`.
    """
    image = to_bgr(picture)
    height, width = image.shape[:2]
    np.copyto(np.frombuffer(memory.view(image.nbytes), np.uint8).reshape(image.shape), image)
    return {
        "width": width, "height": height, "pixel_format": "bgr24", "stride": width * 3, "bytes": image.nbytes,
        "captured_ns": captured_ns,
    }  # fmt: skip


def to_bgr(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert what a camera gives to the runtime's picture.

    Args:
        picture: `(height, width)` or `(height, width, 1)` grey, `(height, width, 3)` BGR or `(height, width, 4)` BGRA;
            uint8, or uint16 over the full range.

    Returns:
        `(height, width, 3)` uint8, BGR, contiguous.

    Raises:
        SourceError: when it is none of these.
    """
    shape, dtype = picture.shape, picture.dtype
    channels = shape[2] if len(shape) == 3 else 1
    known = dtype.name in {"uint8", "uint16"} and len(shape) in {2, 3} and channels in {1, 3, 4}
    if not known or picture.size == 0:
        raise SourceError(
            f"expected a grey, BGR or BGRA picture of uint8 or uint16, found shape {shape} of {dtype}; "
            "choose another pixel format"
        )
    narrow = picture if dtype == np.uint8 else (picture >> 8).astype(np.uint8)
    if channels == 1:
        return np.asarray(cv2.cvtColor(narrow, cv2.COLOR_GRAY2BGR), np.uint8)
    if channels == 4:
        return np.asarray(cv2.cvtColor(narrow, cv2.COLOR_BGRA2BGR), np.uint8)
    return np.ascontiguousarray(narrow)
