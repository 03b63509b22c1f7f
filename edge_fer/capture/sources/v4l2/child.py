"""What runs in the child processes of `source.py`; see `child_source.py`.

It imports the standard library only, so that it starts fast when a camera comes back: the parent decodes the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge_fer.capture.sources.v4l2.buffers import Stamped, Stream
from edge_fer.capture.sources.v4l2.device import Device
from edge_fer.capture.sources.v4l2.mode import READABLE, bus_bytes_s, choose, set_controls

if TYPE_CHECKING:
    from edge_fer.process.child import Memory


class Camera:
    """A V4L2 camera.

    Args:
        memory: the shared memory that frames are written to.
        path: the device node.
        pixel_format: four characters; None: the best, see `choose` in `mode.py`.
        width: pixels; None: the camera's own choice.
        height: pixels; None: the camera's own choice.
        fps: frames a second; None: the camera's own choice.
        requested: see `set_controls` in `mode.py`.
        controls: see `set_controls` in `mode.py`.

    Raises:
        OSError: when the camera is busy, lacks what the settings ask for, or gives no frame.
    """

    def __init__(
        self,
        memory: Memory,
        path: str,
        pixel_format: str | None,
        width: int | None,
        height: int | None,
        fps: float | None,
        requested: Mapping[str, float | None],
        controls: Mapping[str, float],
    ) -> None:
        self._memory = memory
        self._device = device = Device(path)
        mode = choose(device.formats(), device.mode(), pixel_format, width, height, fps, bus_bytes_s(device))
        self._mode = device.set_mode(mode)
        if self._mode.format not in READABLE:
            raise OSError(f"it gives {self._mode.format}, though it lists {mode.format}")
        set_controls(device, requested, controls)
        self._stream = Stream(device, fps)
        self._first: Stamped | None = self._stream.read(self._take)
        self.info = {"fps": self._stream.fps}

    def read(self) -> dict[str, Any]:
        """Wait for a frame and write it to the shared memory."""
        stamped, self._first = self._first or self._stream.read(self._take), None
        return {
            "width": self._mode.width, "height": self._mode.height, "pixel_format": READABLE[self._mode.format][0],
            "stride": self._mode.stride, "bytes": stamped.size, "captured_ns": stamped.captured_ns,
        }  # fmt: skip

    def close(self) -> None:
        """Close the device."""
        self._device.close()

    def _take(self, content: memoryview) -> None:
        self._memory.view(len(content))[:] = content


class Listing:
    """Describes devices without reading pictures.

    Args:
        memory: not used.
    """

    def __init__(self, memory: Memory) -> None: ...

    def describe(self, path: str) -> dict[str, Any]:
        """Name, formats and controls of one device.

        Args:
            path: the device node.

        Raises:
            OSError: when it cannot be opened, or gives no pictures.
        """
        with Device(path) as device:
            return {
                "name": device.name,
                "driver": device.driver,
                "bus": device.bus,
                "formats": [
                    {"name": one.name, "sizes": [size._asdict() for size in one.sizes]} for one in device.formats()
                ],
                "controls": [one._asdict() for one in device.controls()],
            }
