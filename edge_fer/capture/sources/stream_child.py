"""What runs in the child process of `stream.py`; see `child_source.py`."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.process.child import Memory


class Stream:
    """A network stream, opened by OpenCV's FFmpeg.

    Args:
        memory: the shared memory that frames are written to.
        address: the stream's URL.
        open_timeout_s: FFmpeg's time-out for opening, seconds.
        read_timeout_s: FFmpeg's time-out for reading, seconds.

    Raises:
        OSError: when it cannot be opened or gives no frame.
    """

    def __init__(self, memory: Memory, address: str, open_timeout_s: float, read_timeout_s: float) -> None:
        self._memory = memory
        timeouts = (
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_timeout_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(read_timeout_s * 1000)),
        )
        self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
        if not self._capture.isOpened():
            raise OSError("it cannot be opened")
        self._first: tuple[NDArray[Any], int] | None = self._grab("it opens, but gives no picture")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.info = {"fps": rate if 0 < rate <= 1000 else None}

    def read(self) -> dict[str, int | str]:
        """Wait for a frame and write it to the shared memory."""
        taken, self._first = self._first, None
        picture, captured_ns = taken or self._grab("it gives no more frames")
        return write_frame(self._memory, picture, captured_ns)

    def close(self) -> None:
        """Close the stream."""
        self._capture.release()

    def _grab(self, otherwise: str) -> tuple[NDArray[Any], int]:
        """Read one frame.

        Args:
            otherwise: the error's text when there is none.

        Returns:
            The frame as OpenCV gives it, see `to_bgr`, and CLOCK_MONOTONIC after the grab, nanoseconds.
        """
        if not self._capture.grab():
            raise OSError(otherwise)
        captured_ns = time.monotonic_ns()
        read, picture = self._capture.retrieve()
        if not read:
            raise OSError("it gives a frame that cannot be decoded")
        return picture, captured_ns


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
