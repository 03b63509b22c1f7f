"""What the child processes that read through OpenCV have in common; see `child.py` for their duties."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.backends.cameras import to_bgr
from edge_fer.worker_child import Memory


class Capture:
    """A camera or stream that OpenCV has opened.

    Args:
        memory: takes the frames.
        capture: OpenCV's.

    Raises:
        OSError: when it is not open or gives no frame.
    """

    def __init__(self, memory: Memory, capture: cv2.VideoCapture) -> None:
        self._memory = memory
        self._capture = capture
        if not capture.isOpened():
            raise OSError("it cannot be opened")
        self._first: tuple[NDArray[Any], int] | None = self._grab("it opens, but gives no picture")
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.info = {"fps": rate if 0 < rate <= 1000 else None}

    def read(self) -> dict[str, int | str]:
        """Wait for a frame and write it to the memory."""
        taken, self._first = self._first, None
        picture, captured_ns = taken or self._grab("it gives no more frames")
        return write_frame(self._memory, picture, captured_ns)

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()

    def _capture_time(self) -> int:
        """When the frame just grabbed was captured, CLOCK_MONOTONIC, ns: for all we know, now."""
        return time.monotonic_ns()

    def _grab(self, otherwise: str) -> tuple[NDArray[Any], int]:
        """One frame as OpenCV gives it, and its capture time."""
        if not self._capture.grab():
            raise OSError(otherwise)
        captured_ns = self._capture_time()
        read, picture = self._capture.retrieve()
        if not read:
            raise OSError("it gives a frame that cannot be decoded")
        return picture, captured_ns


def write_frame(memory: Memory, picture: NDArray[Any], captured_ns: int) -> dict[str, int | str]:
    """Hand a frame over to the parent.

    Args:
        memory: takes its pixels as `(height, width, 3)` uint8, BGR.
        picture: as the camera gave it; see `edge_fer.backends.cameras.to_bgr`.
        captured_ns: CLOCK_MONOTONIC at capture, nanoseconds.

    Returns:
        The reply of a child's `read`.
    """
    image = to_bgr(picture)
    height, width = image.shape[:2]
    np.copyto(np.frombuffer(memory.view(image.nbytes), np.uint8).reshape(image.shape), image)
    return {
        "width": width, "height": height, "pixel_format": "bgr24", "stride": width * 3, "captured_ns": captured_ns
    }  # fmt: skip
