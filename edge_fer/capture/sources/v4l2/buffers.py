"""The pictures of a V4L2 device, through buffers that the driver fills in our memory (streaming I/O).

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

_BUFFERS = 4  # one is filled, one is waited for, one is copied, and one is for a driver that wants more
_MMAP = 1  # V4L2_MEMORY_MMAP
_BROKEN = 0x0040  # V4L2_BUF_FLAG_ERROR: the driver lost part of it
_CLOCK = 0xE000  # V4L2_BUF_FLAG_TIMESTAMP_MASK
_MONOTONIC = 0x2000  # V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC
_STAMP_AGE_NS = 5_000_000_000  # a stamp that is older, or yet to come, cannot be true


class Stamped(NamedTuple):
    """How many bytes a picture has, and when it was captured: CLOCK_MONOTONIC, nanoseconds."""

    size: int
    captured_ns: int


class Stream:
    """Reads a device that is set up.

    Args:
        device: open, its mode set.
        fps: asked of it, frames a second; null: its own choice.

    Attributes:
        fps: what the driver says of its rate; null where it says nothing.

    Raises:
        OSError: when another program reads from it, or it cannot stream.
    """

    def __init__(self, device: Device, fps: float | None = None) -> None:
        self._device = device
        self.fps = self._set_rate(fps)
        count = device.ask(abi.REQBUFS, abi.RequestBuffers(count=_BUFFERS, type=abi.CAPTURE, memory=_MMAP)).count
        self._maps = [self._map(index) for index in range(count)]
        for index in range(count):
            self._give(index)
        device.ask(abi.STREAMON, c_int(abi.CAPTURE))
        self._poller = select.poll()
        self._poller.register(device, select.POLLIN)

    def read(self, take: Callable[[memoryview], None]) -> Stamped:
        """Wait for the newest picture that is whole.

        Args:
            take: is given its bytes, and must keep none of that memory.

        Raises:
            OSError: when the device was unplugged or fails.
        """
        newest = self._wait()
        while (later := self._filled()) is not None:  # those that came while nobody asked
            self._give(newest.index)
            newest = later
        try:
            with memoryview(self._maps[newest.index]) as whole, whole[: newest.bytesused] as content:
                take(content)
        finally:
            self._give(newest.index)
        return Stamped(newest.bytesused, _captured_ns(newest))

    def _wait(self) -> abi.Buffer:
        """The next buffer that is filled; the parent's deadline ends a wait without end."""
        while True:
            ((_, events),) = self._poller.poll()
            found = self._filled()
            if found is not None:
                return found
            if events & (select.POLLERR | select.POLLHUP):
                raise OSError("it gives no more frames")

    def _filled(self) -> abi.Buffer | None:
        """A buffer that is filled with a whole picture; null while there is none."""
        while True:
            try:
                found = self._device.ask(abi.DQBUF, abi.Buffer(type=abi.CAPTURE, memory=_MMAP))
            except BlockingIOError:
                return None
            if not found.flags & _BROKEN and found.bytesused:
                return found
            self._give(found.index)

    def _give(self, index: int) -> None:
        """Hand a buffer to the driver."""
        self._device.ask(abi.QBUF, abi.Buffer(index=index, type=abi.CAPTURE, memory=_MMAP))

    def _map(self, index: int) -> mmap.mmap:
        found = self._device.ask(abi.QUERYBUF, abi.Buffer(index=index, type=abi.CAPTURE, memory=_MMAP))
        return mmap.mmap(self._device.fileno(), found.length, offset=found.where)

    def _set_rate(self, fps: float | None) -> float | None:
        """Ask for a rate, or what it is; drivers without one refuse."""
        try:
            if fps is None:
                now = self._device.ask(abi.G_PARM, abi.StreamParameters(type=abi.CAPTURE))
            else:
                wish = abi.StreamParameters(type=abi.CAPTURE, numerator=1000, denominator=round(fps * 1000))
                now = self._device.ask(abi.S_PARM, wish)
        except OSError:
            return None
        return now.denominator / now.numerator if now.numerator and now.denominator else None


def _captured_ns(buffer: abi.Buffer) -> int:
    """The driver's stamp where it is of CLOCK_MONOTONIC, else now."""
    now_ns = time.monotonic_ns()
    stamp_ns: int = buffer.seconds * 1_000_000_000 + buffer.microseconds * 1000
    true = buffer.flags & _CLOCK == _MONOTONIC and 0 <= now_ns - stamp_ns < _STAMP_AGE_NS
    return stamp_ns if true else now_ns
