"""What runs in the child processes of `picamera2.py`, under the system's interpreter; see `child_source.py`.

It imports the standard library and the system's picamera2 only.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from libcamera import Transform
from picamera2 import MappedArray, Picamera2
from picamera2.allocators import LibcameraAllocator
from picamera2.dma_heap import heapNames

# libcamera names formats from the highest byte of a word down: its RGB888 is BGR in memory.
_FORMATS = {
    "RGB888": "bgr24", "BGR888": "rgb24", "XRGB8888": "bgr0", "XBGR8888": "rgb0", "NV12": "nv12", "YUV420": "yuv420p",
    "YUYV": "yuyv422", "UYVY": "uyvy422",
}  # fmt: skip
_BEST = "RGB888"
_MAX_STAMP_AGE_NS = 5_000_000_000  # an older time stamp, or one in the future, is not of the boot clock


class Camera:
    """One camera.

    Args:
        memory: the shared memory that frames are written to.
        number: the camera's number, as picamera2 counts.
        pixel_format: libcamera's name of the format; None: BGR, or the nearest to it.
        width: pixels; None: 1280.
        height: pixels; None: 720.
        fps: frames a second; None: picamera2's choice.
        hflip: whether to mirror left to right.
        vflip: whether to mirror top to bottom.
        controls: values by libcamera's names.

    Raises:
        OSError: when there is no such camera, it is busy, or lacks what the settings ask for.
    """

    def __init__(
        self,
        memory: Any,
        number: int,
        pixel_format: str | None,
        width: int | None,
        height: int | None,
        fps: float | None,
        hflip: bool,
        vflip: bool,
        controls: dict[str, Any],
    ) -> None:
        self._memory = memory
        try:
            self._camera = _open(number)
            unknown = sorted(set(controls) - set(self._camera.camera_controls))
            if unknown:
                known = ", ".join(sorted(self._camera.camera_controls))
                raise OSError(f"it has no control {', '.join(unknown)}, but {known}")
            if fps:
                controls["FrameDurationLimits"] = (round(1e6 / fps),) * 2  # us
            self._camera.configure(
                self._camera.create_video_configuration(
                    main={"format": pixel_format or _BEST, "size": (width or 1280, height or 720)},
                    transform=Transform(hflip=hflip, vflip=vflip),
                    controls=controls,
                )
            )
            made = self._camera.camera_configuration()
            stream, transform = made["main"], made["transform"]
            if stream["format"] not in _FORMATS:
                raise OSError(f"it gives {stream['format']}, which we cannot read, but for {', '.join(_FORMATS)}")
            if pixel_format and stream["format"] != pixel_format:
                raise OSError(f"it has no format {pixel_format}; the nearest is {stream['format']}")
            self._camera.start()
        except (RuntimeError, ValueError, IndexError) as error:
            raise OSError(_reason(error)) from error
        self._size = stream["size"]
        self._stride = stream["stride"]
        self._format = _FORMATS[stream["format"]]
        self._first: dict[str, Any] | None = self._take()
        # What the camera cannot mirror, the parent mirrors.
        self.info = {"fps": fps, "hflip": hflip != bool(transform.hflip), "vflip": vflip != bool(transform.vflip)}

    def read(self) -> dict[str, Any]:
        """Wait for a frame and write it to the shared memory."""
        taken, self._first = self._first, None
        return taken or self._take()

    def close(self) -> None:
        """Stop the camera."""
        self._camera.stop()

    def _take(self) -> dict[str, Any]:
        request = self._camera.capture_request()
        try:
            with MappedArray(request, "main", reshape=False) as mapped, memoryview(mapped.array) as content:
                size = len(content)
                self._memory.view(size)[:] = content
            captured_ns = monotonic_ns(request.get_metadata().get("SensorTimestamp"))
        finally:
            request.release()
        width, height = self._size
        return {
            "width": width, "height": height, "pixel_format": self._format, "stride": self._stride,
            "bytes": size, "captured_ns": captured_ns,
        }  # fmt: skip


class Listing:
    """Describes all cameras.

    Args:
        memory: not used.
    """

    def __init__(self, memory: Any) -> None: ...

    def describe(self) -> dict[str, Any]:
        """Describe the cameras, in the order of their numbers."""
        return {"cameras": [_describe(number) for number in range(len(Picamera2.global_camera_info()))]}


def monotonic_ns(stamp_ns: int | None) -> int:
    """Convert a time of the boot clock, which goes on while the machine sleeps, to CLOCK_MONOTONIC.

    Args:
        stamp_ns: CLOCK_BOOTTIME, nanoseconds; where it is None or impossible, the result is the present time.
    """
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    if stamp_ns is None or not 0 <= now_ns - stamp_ns < _MAX_STAMP_AGE_NS:
        stamp_ns = now_ns
    return time.monotonic_ns() - (now_ns - stamp_ns)


def _open(number: int) -> Any:
    """Open a camera; its buffers come from a DMA heap where there is one, as on every Pi, else from libcamera."""
    if any(Path(name).exists() for name in heapNames):
        return Picamera2(number)
    allocator = LibcameraAllocator(None)
    camera = Picamera2(number, allocator=allocator)
    allocator.camera = camera.camera  # which did not exist before
    return camera


def _describe(number: int) -> dict[str, Any]:
    """Model, sensor modes and controls of a camera; or the error, where it cannot be opened."""
    info = Picamera2.global_camera_info()[number]
    found: dict[str, Any] = {"number": number, "name": str(info.get("Model")), "id": str(info.get("Id"))}
    try:
        camera = _open(number)
    except RuntimeError as error:
        return {**found, "error": _reason(error)}
    modes = [
        {"format": str(mode["format"]), "size": list(mode.get("size", ())), "fps": mode.get("fps")}
        for mode in camera.sensor_modes
    ]
    controls = {name: [str(value) for value in limits] for name, limits in camera.camera_controls.items()}
    return {**found, "modes": modes, "controls": controls}


def _reason(error: BaseException) -> str:
    """The first cause of an error: picamera2 wraps it in others without information."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
