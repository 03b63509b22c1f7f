"""What runs in the child process of `stream.py`; see `child.py` for its duties."""

from __future__ import annotations

import cv2

from edge_fer.backends.cameras.opencv_child import Capture
from edge_fer.worker_child import Memory


class Stream(Capture):
    """A network stream, opened by OpenCV's FFmpeg.

    Args:
        memory: takes the frames.
        address: its URL.
        open_timeout_s: for FFmpeg, seconds.
        read_timeout_s: for FFmpeg, seconds.

    Raises:
        OSError: when it cannot be opened or gives no frame.
    """

    def __init__(self, memory: Memory, address: str, open_timeout_s: float, read_timeout_s: float) -> None:
        timeouts = (
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_timeout_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(read_timeout_s * 1000)),
        )
        super().__init__(memory, cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts))
