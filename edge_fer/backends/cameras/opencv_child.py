"""What runs in the child process of `opencv.py`; see `child.py` for its duties."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.backends.cameras import is_url, to_bgr
from edge_fer.worker_child import Memory

_STAMP_AGE_NS = 5_000_000_000  # a camera's stamp that is older, or yet to come, is none of CLOCK_MONOTONIC


class Capture:
    """A camera or stream, opened by OpenCV.

    Args:
        memory: takes the frames.
        address: device path or URL.
        width: asked of a camera, pixels; null: its own choice.
        height: see `width`.
        fps: asked of a camera, frames a second; null: its own choice.
        open_timeout_s: for FFmpeg, seconds.
        read_timeout_s: for FFmpeg, seconds.

    Raises:
        OSError: when it cannot be opened or gives no frame.
    """

    def __init__(
        self,
        memory: Memory,
        address: str,
        width: int | None,
        height: int | None,
        fps: float | None,
        open_timeout_s: float,
        read_timeout_s: float,
    ) -> None:
        self._memory = memory
        self._stamped = not is_url(address)
        if is_url(address):
            timeouts = (
                (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_timeout_s * 1000)),
                (cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(read_timeout_s * 1000)),
            )
            self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [number for pair in timeouts for number in pair])
        else:
            self._capture = cv2.VideoCapture(address, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise OSError("it cannot be opened")
        if not is_url(address):
            self._ask(width, height, fps)
        self._first: tuple[NDArray[Any], int] | None = self._grab("it opens, but gives no picture")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.info = {"fps": rate if 0 < rate <= 1000 else None}

    def read(self) -> dict[str, int]:
        """Wait for a frame and write it to the memory."""
        taken, self._first = self._first, None
        picture, captured_ns = taken or self._grab("it gives no more frames")
        return write_frame(self._memory, picture, captured_ns)

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()

    def _ask(self, width: int | None, height: int | None, fps: float | None) -> None:
        """Set what the driver honours; it is free to choose otherwise."""
        wishes = (
            # One buffer fills while the other is read; more would only hold older frames.
            (cv2.CAP_PROP_BUFFERSIZE, 2),
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, height),
            (cv2.CAP_PROP_FPS, fps),
        )
        for prop, value in wishes:
            if value is not None:
                self._capture.set(prop, value)

    def _grab(self, otherwise: str) -> tuple[NDArray[Any], int]:
        """One frame as OpenCV gives it, and its capture time, CLOCK_MONOTONIC, ns."""
        if not self._capture.grab():
            raise OSError(otherwise)
        captured_ns = self._capture_time()
        read, picture = self._capture.retrieve()
        if not read:
            raise OSError("it gives a frame that cannot be decoded")
        return picture, captured_ns

    def _capture_time(self) -> int:
        """When the frame just grabbed was captured, ns.

        OpenCV's V4L2 gives the driver's stamp as CAP_PROP_POS_MSEC, with microseconds. Most drivers
        take it from CLOCK_MONOTONIC; for others, and for streams, it is the time after the grab.
        """
        now_ns = time.monotonic_ns()
        if not self._stamped:
            return now_ns
        stamp_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamp_ns if 0 <= now_ns - stamp_ns < _STAMP_AGE_NS else now_ns


def write_frame(memory: Memory, picture: NDArray[Any], captured_ns: int) -> dict[str, int]:
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
    return {"height": height, "width": width, "captured_ns": captured_ns}
