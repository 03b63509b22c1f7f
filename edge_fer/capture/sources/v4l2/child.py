"""What runs in the child processes of `v4l2.py`; see `child.py` for the duties of a camera.

The standard library only, so that a camera is back in a moment: pictures are decoded by the parent.
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
        self._memory = memory
        self._device = device = Device(path)
        wished = choose(device.formats(), device.mode(), pixel_format, width, height, fps, bus_bytes_s(device))
        self._mode = device.set_mode(wished)
        if self._mode.format not in READABLE:
            raise OSError(f"it gives {self._mode.format}, though it lists {wished.format}")
        set_controls(device, wishes, controls)
        self._stream = Stream(device, fps)
        self._first: Stamped | None = self._stream.read(self._take)
        self.info = {"fps": self._stream.fps}

    def read(self) -> dict[str, Any]:
        """Wait for a frame and write it to the memory."""
        stamped, self._first = self._first or self._stream.read(self._take), None
        return {
            "width": self._mode.width, "height": self._mode.height, "pixel_format": READABLE[self._mode.format][0],
            "stride": self._mode.stride, "bytes": stamped.size, "captured_ns": stamped.captured_ns,
        }  # fmt: skip

    def close(self) -> None:
        """Give the device back."""
        self._device.close()

    def _take(self, content: memoryview) -> None:
        self._memory.view(len(content))[:] = content


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
                "formats": [
                    {"name": one.name, "sizes": [size._asdict() for size in one.sizes]} for one in device.formats()
                ],
                "controls": [one._asdict() for one in device.controls()],
            }
