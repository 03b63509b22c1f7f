"""A picamera2 with a camera that counts: frame number n has n in every byte; with `split`, 200 in the right half.

Behaves as the real one where our code could go wrong: buffers are lent and run out when they are not released, rows are
padded to 64 bytes, sizes must be even, one process at a time has the camera, stamps are of the boot clock, and a
configuration comes back adjusted. FAKE_PICAMERA2 is JSON: `formats` (that it has), `cameras` (how many), `busy`,
`stamp_age_ns`, `note` (a file that hears of the configuration), `split`, `hang_at`, `mirrors` (whether it can).
"""

import json
import mmap
import os
import threading
import time
from pathlib import Path

import numpy as np

from picamera2 import allocators, dma_heap

_SETUP = {
    "formats": ["RGB888", "NV12"], "cameras": 1, "busy": False, "stamp_age_ns": 0, "note": None, "split": False,
    "hang_at": None, "mirrors": True,
}  # fmt: skip
_SETUP |= json.loads(os.environ.get("FAKE_PICAMERA2", "{}"))
_BYTES = {"RGB888": (3, 2), "BGR888": (3, 2), "XRGB8888": (4, 2), "NV12": (1, 3), "YUV420": (1, 3), "MJPEG": (1, 2)}
_BUFFERS = 6


def _note(line):
    if _SETUP["note"]:
        with Path(_SETUP["note"]).open("a") as file:
            file.write(line + "\n")


class Picamera2:
    @staticmethod
    def global_camera_info():
        return [{"Model": "imx708", "Id": f"/base/soc/i2c0mux/imx708@{n}", "Num": n} for n in range(_SETUP["cameras"])]

    def __init__(self, camera_num=0, allocator=None):
        if camera_num >= _SETUP["cameras"]:
            raise RuntimeError(f"No camera number {camera_num} found")
        if _SETUP["busy"]:
            busy = RuntimeError("Failed to acquire camera: Device or resource busy")
            raise RuntimeError("Camera __init__ sequence did not complete.") from busy
        self.camera = object()
        if allocator is None and not Path(dma_heap.heapNames[0]).exists():
            raise RuntimeError("Could not open any dmaHeap device")
        self.allocator = allocator or allocators.DmaAllocator()
        self.camera_controls = {
            "FrameDurationLimits": (11_000, 120_000_000, None), "ExposureTime": (30, 66_666, 20_000),
            "AnalogueGain": (1.0, 16.0, 1.0), "AfMode": (0, 2, 0), "LensPosition": (0.0, 32.0, 1.0),
        }  # fmt: skip
        self.sensor_modes = [{"format": "SRGGB10_CSI2P", "size": (1536, 864), "fps": 120.13}]
        self._lent = 0
        self._count = 0
        self._started = False

    def create_video_configuration(self, main, transform, controls):
        for side in main["size"]:
            if side % 2:
                raise RuntimeError("width and height should be even")
        return {"main": dict(main), "transform": transform, "controls": controls}

    def configure(self, configuration):
        if isinstance(self.allocator, allocators.LibcameraAllocator):
            assert self.allocator.camera is self.camera
        main = configuration["main"]
        if main["format"] not in _SETUP["formats"]:
            main["format"] = _SETUP["formats"][-1]
        main["stride"] = -(-main["size"][0] * _BYTES.get(main["format"], (2, 2))[0] // 64) * 64
        self._configuration = configuration
        self._main = main
        transform = configuration["transform"]
        if not _SETUP["mirrors"]:
            transform.hflip = transform.vflip = False
        _note(f"configured {main['format']} {transform.hflip} {transform.vflip} {configuration['controls']}")

    def camera_configuration(self):
        return self._configuration

    def start(self):
        self._started = True

    def stop(self):
        self._started = False
        _note("stopped")

    def capture_request(self):
        assert self._started
        if self._lent == _BUFFERS:
            threading.Event().wait()  # as the real one: no buffer comes back
        if self._count == _SETUP["hang_at"]:
            threading.Event().wait()
        self._lent += 1
        time.sleep(0.002)
        self._count += 1
        return _Request(self, self._count - 1)


class _Request:
    def __init__(self, camera, number):
        self.camera, self.number = camera, number

    def get_metadata(self):
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return {"SensorTimestamp": now_ns - _SETUP["stamp_age_ns"], "ExposureTime": 20_000}

    def release(self):
        self.camera._lent -= 1


class MappedArray:
    def __init__(self, request, stream, reshape=True):
        assert stream == "main"
        assert not reshape
        self._request = request

    def __enter__(self):
        main = self._request.camera._main
        rows = main["size"][1] * _BYTES[main["format"]][1] // 2
        self._buffer = mmap.mmap(-1, rows * main["stride"])
        array = np.frombuffer(self._buffer, np.uint8).reshape(rows, main["stride"])
        array[:] = self._request.number % 256
        if _SETUP["split"]:
            array[:, main["size"][0] * _BYTES[main["format"]][0] // 2 :] = 200
        self.array = array.reshape(-1)
        return self

    def __exit__(self, *error):
        del self.array
        self._buffer.close()  # as the real one: an error where somebody still looks at it
