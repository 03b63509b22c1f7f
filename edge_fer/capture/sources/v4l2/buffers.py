"""The pictures of a V4L2 device, through buffers that the driver fills in this process's memory (streaming I/O).

Source: "Video for Linux API", chapter 3.2.
"""

from __future__ import annotations

import mmap
import select
import time
from collections.abc import Callable
from ctypes import c_int
from typing import NamedTuple

from edge_fer.capture.sources.v4l2 import abi
from edge_fer.capture.sources.v4l2.device import Device

_BUFFERS = 4  # one is being filled, one is waited for, one is copied, and one is for a driver that needs more
_MMAP = 1  # V4L2_MEMORY_MMAP
_BROKEN = 0x0040  # V4L2_BUF_FLAG_ERROR: the driver lost part of the picture
_CLOCK = 0xE000  # V4L2_BUF_FLAG_TIMESTAMP_MASK
_MONOTONIC = 0x2000  # V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC
_MAX_STAMP_AGE_NS = 5_000_000_000  # a time stamp that is older, or in the future, cannot be true


class Stamped(NamedTuple):
    """The size of a picture, bytes, and its capture time, CLOCK_MONOTONIC, nanoseconds."""

    size: int
    captured_ns: int


class Stream:
    """Reads a device whose mode is set.

    Args:
        device: the open device.
        fps: the rate to ask for, frames a second; None: the device's own choice.

    Attributes:
        fps: the rate that the driver states, frames a second; None where it states none.

    Raises:
        OSError: when another program reads from it, or it cannot stream.
    """

    def __init__(self, device: Device, fps: float | None = None) -> None:
        self._device = device
        self.fps = self._set_rate(fps)
        count = device.ask(abi.REQBUFS, abi.RequestBuffers(count=_BUFFERS, type=abi.CAPTURE, memory=_MMAP)).count
        self._maps = [self._map(index) for index in range(count)]
        for index in range(count):
            self._queue(index)
        device.ask(abi.STREAMON, c_int(abi.CAPTURE))
        self._poller = select.poll()
        self._poller.register(device, select.POLLIN)

    def read(self, take: Callable[[memoryview], None]) -> Stamped:
        """Wait for the newest complete picture.

        Args:
            take: called with the picture's bytes; it must keep no reference to that memory.

        Raises:
            OSError: when the device was unplugged or fails.
        """
        newest = self._wait()
        while (later := self._filled()) is not None:  # pictures that came since the last read
            self._queue(newest.index)
            newest = later
        try:
            with memoryview(self._maps[newest.index]) as whole, whole[: newest.bytesused] as content:
                take(content)
        finally:
            self._queue(newest.index)
        return Stamped(newest.bytesused, _captured_ns(newest))

    def _wait(self) -> abi.Buffer:
        """The next filled buffer; where none comes, the parent's deadline ends the wait."""
        while True:
            ((_, events),) = self._poller.poll()
            found = self._filled()
            if found is not None:
                return found
            if events & (select.POLLERR | select.POLLHUP):
                raise OSError("it gives no more frames")

    def _filled(self) -> abi.Buffer | None:
        """A buffer that holds a complete picture; None while there is none."""
        while True:
            try:
                found = self._device.ask(abi.DQBUF, abi.Buffer(type=abi.CAPTURE, memory=_MMAP))
            except BlockingIOError:
                return None
            if not found.flags & _BROKEN and found.bytesused:
                return found
            self._queue(found.index)

    def _queue(self, index: int) -> None:
        """Give a buffer to the driver, to be filled."""
        self._device.ask(abi.QBUF, abi.Buffer(index=index, type=abi.CAPTURE, memory=_MMAP))

    def _map(self, index: int) -> mmap.mmap:
        found = self._device.ask(abi.QUERYBUF, abi.Buffer(index=index, type=abi.CAPTURE, memory=_MMAP))
        return mmap.mmap(self._device.fileno(), found.length, offset=found.where)

    def _set_rate(self, fps: float | None) -> float | None:
        """Set the rate, or read it where none is asked for; what the driver then states. Drivers without one refuse."""
        try:
            if fps is None:
                now = self._device.ask(abi.G_PARM, abi.StreamParameters(type=abi.CAPTURE))
            else:
                rate = abi.StreamParameters(type=abi.CAPTURE, numerator=1000, denominator=round(fps * 1000))
                now = self._device.ask(abi.S_PARM, rate)
        except OSError:
            return None
        stated: float = now.denominator / now.numerator if now.numerator else 0.0
        return stated if 0 < stated <= 1000 else None


def _captured_ns(buffer: abi.Buffer) -> int:
    """The driver's time stamp where it is of CLOCK_MONOTONIC, else the present time; nanoseconds."""
    now_ns = time.monotonic_ns()
    stamp_ns: int = buffer.seconds * 1_000_000_000 + buffer.microseconds * 1000
    is_valid = buffer.flags & _CLOCK == _MONOTONIC and 0 <= now_ns - stamp_ns < _MAX_STAMP_AGE_NS
    return stamp_ns if is_valid else now_ns
