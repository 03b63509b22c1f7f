"""What runs in the child processes of `v4l2.py`; see `child.py` for the duties of a camera."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import cv2

from edge_fer.backends.cameras.opencv_child import Capture
from edge_fer.backends.cameras.v4l2_device import Device
from edge_fer.backends.cameras.v4l2_mode import bus_bytes_s, choose, set_controls
from edge_fer.worker_child import Memory

_STAMP_AGE_NS = 5_000_000_000  # a camera's stamp that is older, or yet to come, is none of CLOCK_MONOTONIC


class Camera(Capture):
    """A V4L2 camera, set up by ioctl and read by OpenCV.

    Args:
        memory: takes the frames.
        path: of the device.
        pixel_format: four characters; null: the best, see `v4l2_mode.choose`.
        width: pixels; null: its own choice.
        height: see `width`.
        fps: frames a second; null: its own choice.
        wishes: see `v4l2_mode.set_controls`.
        controls: see `v4l2_mode.set_controls`.

    Raises:
        OSError: when it is busy, has not what is asked of it, or gives no frame.
    """

    def __init__(
        self,
        memory: Memory,
        path: str,
        pixel_format: str | None,
        width: int | None,
        height: int | None,
        fps: float | None,
        wishes: Mapping[str, float | None],
        controls: Mapping[str, float],
    ) -> None:
        with Device(path) as device:
            mode = choose(device.formats(), device.mode(), pixel_format, width, height, fps, bus_bytes_s(device))
            mode = device.set_mode(mode)
            set_controls(device, wishes, controls)
        capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
        for prop, value in (
            # One buffer fills while the other is read; more would only hold older frames.
            (cv2.CAP_PROP_BUFFERSIZE, 2),
            (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*mode.format.ljust(4))),
            (cv2.CAP_PROP_FRAME_WIDTH, mode.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, mode.height),
            *([(cv2.CAP_PROP_FPS, fps)] if fps else []),
        ):
            capture.set(prop, value)
        super().__init__(memory, capture)

    def _capture_time(self) -> int:
        """When the frame just grabbed was captured, CLOCK_MONOTONIC, ns.

        OpenCV gives the driver's stamp as CAP_PROP_POS_MSEC, with microseconds. Most drivers take it
        from CLOCK_MONOTONIC; for others it is the time after the grab.
        """
        now_ns = time.monotonic_ns()
        stamp_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamp_ns if 0 <= now_ns - stamp_ns < _STAMP_AGE_NS else now_ns


class Listing:
    """Looks at devices, and reads from none.

    Args:
        memory: not used.
    """

    def __init__(self, memory: Memory) -> None: ...

    def look(self, path: str) -> dict[str, Any]:
        """Name, formats and controls of one.

        Raises:
            OSError: when it cannot be opened, or gives no pictures.
        """
        with Device(path) as device:
            return {
                "name": device.name,
                "driver": device.driver,
                "bus": device.bus,
                "formats": [asdict(one) for one in device.formats()],
                "controls": [asdict(one) for one in device.controls()],
            }
