"""A camera for the tests, in a child process like the real ones."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np

from edge_fer.capture.sources.hand_over import write_frame

HERE = str(Path(__file__).resolve())


class Generator:
    """A camera: frame number n has n in every pixel; stumbles where it is told to.

    `sizes` lists (height, width) of the frames, the last one for all that follow. `trouble` happens
    once, at frame `at`, as long as the file `marker` does not exist.
    """

    def __init__(self, memory, sizes=((12, 16),), trouble=None, at=0, marker=None, dtype="uint8", channels=3, pace=0.0):
        self._memory = memory
        self._sizes = sizes
        self._trouble = trouble
        self._at = at
        self._marker = marker
        self._shape = () if channels is None else (channels,)
        self._dtype = np.dtype(dtype)
        self._pace = pace
        self._count = 0
        self.info = {"fps": 25.0}
        if trouble == "missing":
            raise OSError("it cannot be opened")

    def read(self):
        if self._count == self._at and self._trouble and not Path(self._marker).exists():
            Path(self._marker).touch()
            self._stumble()
        time.sleep(self._pace)
        height, width = self._sizes[min(self._count, len(self._sizes) - 1)]
        scale = 256 if self._dtype == np.uint16 else 1
        picture = np.full((height, width, *self._shape), self._count % 256 * scale, self._dtype)
        self._count += 1
        return write_frame(self._memory, picture, time.monotonic_ns())

    def _stumble(self):
        if self._trouble == "abort":
            os.abort()
        if self._trouble == "hang":
            signal.pause()
        raise OSError("it gives no more frames")


class Cameras:
    """Lists a camera at video0, one in use at video10, and no camera elsewhere."""

    def __init__(self, memory): ...

    def describe(self, path):
        if path.endswith("video10"):
            raise OSError("another program reads from it")
        if path.endswith("video1"):
            return {"name": "unicam", "driver": "unicam", "bus": "platform:csi", "formats": [], "controls": []}
        if not path.endswith("video0"):
            raise OSError("it takes no pictures that can be read (a metadata, codec or output node)")
        sizes = [
            {"width": 1280, "height": 720, "smallest": None, "step": [1, 1], "rates": [30.0, 15.0]},
            {"width": 64, "height": 48, "smallest": [32, 32], "step": [2, 2], "rates": []},
        ]
        return {
            "name": "USB Camera", "driver": "uvcvideo", "bus": "usb-1",
            "formats": [{"name": "MJPG", "sizes": sizes}, {"name": "H264", "sizes": []}],
            "controls": [{"name": "gain", "smallest": 0, "largest": 100, "default": 50}],
        }  # fmt: skip


class Jpegs:
    """A camera of compressed pictures; those that `broken` lists, from and to, cannot be decoded."""

    def __init__(self, memory, broken):
        self._memory = memory
        self._broken = range(*broken)
        self._count = 0
        self.info = {"fps": None}

    def read(self):
        picture = np.full((12, 16, 3), self._count * 10 % 256, np.uint8)
        content = b"broken" if self._count in self._broken else cv2.imencode(".jpg", picture)[1].tobytes()
        self._count += 1
        self._memory.view(len(content))[:] = content
        return {
            "width": 16, "height": 12, "pixel_format": "mjpeg", "stride": 0, "bytes": len(content),
            "captured_ns": time.monotonic_ns(),
        }  # fmt: skip


class Malformed:
    """A camera whose `info`, or whose replies from the third frame on, have other fields than was agreed."""

    def __init__(self, memory, info=None, reply=None, without=()):
        memory.view(16 * 12 * 3)
        self.info = {"fps": 25.0} if info is None else info
        self._reply, self._without = reply or {}, without
        self._count = 0

    def read(self):
        self._count += 1
        reply = {
            "width": 16, "height": 12, "pixel_format": "bgr24", "stride": 48, "bytes": 16 * 12 * 3,
            "captured_ns": time.monotonic_ns(),
        }  # fmt: skip
        if self._count <= 2:
            return reply
        return {name: value for name, value in {**reply, **self._reply}.items() if name not in self._without}
