"""A V4L2 device through ioctl: its name, its formats and controls, and setting them.

Source: "Video for Linux API"; the structures are in `abi.py`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from edge_fer.capture.sources.v4l2 import abi
from edge_fer.common.closeable import Closeable

Ioctl = Callable[[int, int, Any], int]

_STREAMING = 0x04000000  # V4L2_CAP_STREAMING
_DEVICE_CAPS = 0x80000000  # V4L2_CAP_DEVICE_CAPS
_DISCRETE = 1  # V4L2_FRMSIZE_TYPE_DISCRETE and V4L2_FRMIVAL_TYPE_DISCRETE
_NEXT = 0x80000000  # V4L2_CTRL_FLAG_NEXT_CTRL
_DISABLED = 0x0001  # V4L2_CTRL_FLAG_DISABLED
_READ_ONLY = 0x0004  # V4L2_CTRL_FLAG_READ_ONLY
_VALUES = {1: "integer", 2: "boolean", 3: "menu", 9: "menu"}  # V4L2_CTRL_TYPE_*, those that one number sets

_Asked = TypeVar("_Asked")


class Size(NamedTuple):
    """A picture size of a format, or a range of sizes.

    Attributes:
        width: pixels; the largest of a range.
        height: pixels; the largest of a range.
        smallest: the smallest width and height of a range, pixels; None for a single size.
        step: pixels from one width, and from one height, of a range to the next.
        rates: frames a second at the largest size, highest first; empty where the driver lists none.
    """

    width: int
    height: int
    smallest: tuple[int, int] | None = None
    step: tuple[int, int] = (1, 1)
    rates: tuple[float, ...] = ()


class Format(NamedTuple):
    """A pixel format: its four-character code, such as `MJPG`, and its sizes in the driver's order."""

    name: str
    sizes: tuple[Size, ...]


class Mode(NamedTuple):
    """The format and size that a device is set to.

    Attributes:
        format: four-character code.
        width: pixels.
        height: pixels.
        stride: bytes from one row to the next, as the driver states; 0 for compressed pictures.
    """

    format: str
    width: int
    height: int
    stride: int = 0


class Control(NamedTuple):
    """A control, such as the brightness.

    Attributes:
        name: in lower case, as `v4l2-ctl -l` writes it.
        id: V4L2_CID_*.
        kind: integer, boolean or menu.
        smallest: the smallest value.
        largest: the largest value.
        step: from one value to the next.
        default: the default value.
    """

    name: str
    id: int
    kind: str
    smallest: int
    largest: int
    step: int
    default: int


class Refused(OSError):
    """A request that the kernel refused; the text is for a person."""

    def __str__(self) -> str:
        known = {
            errno.EBUSY: "another program reads from it",
            errno.ENODEV: "it was unplugged",
            errno.ENOTTY: "it is no camera that V4L2 knows",
        }
        return known.get(self.errno or 0, self.strerror or "no reason given")


class Device(Closeable):
    """An open V4L2 device that gives pictures.

    Args:
        path: the device node.
        ioctl: `fcntl.ioctl`, or a fake for tests.

    Attributes:
        name: the camera's name.
        driver: the kernel driver's name.
        bus: the bus and port that the camera is plugged into.

    Raises:
        OSError: when it cannot be opened or gives no pictures; see `Refused`.
    """

    def __init__(self, path: str, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._ioctl = ioctl
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(*error.args) from error
        try:
            found = self._capability()
        except BaseException:
            self.close()
            raise
        self.name, self.driver, self.bus = (_text(part) for part in (found.card, found.driver, found.bus_info))

    def fileno(self) -> int:
        """The descriptor of the open node."""
        return self._descriptor

    @property
    def number(self) -> str:
        """Major and minor number of the node, as sysfs writes them."""
        device = os.fstat(self._descriptor).st_rdev
        return f"{os.major(device)}:{os.minor(device)}"

    def formats(self) -> tuple[Format, ...]:
        """The formats that it offers, in the driver's order."""
        found = self._listed(abi.ENUM_FMT, lambda index: abi.FormatDescription(index=index, type=abi.CAPTURE))
        return tuple(Format(_name(one.pixelformat), tuple(self._sizes(one.pixelformat))) for one in found)

    def mode(self) -> Mode:
        """The mode that it is set to."""
        return _mode(self.ask(abi.G_FMT, abi.FormatStructure(type=abi.CAPTURE)))

    def set_mode(self, mode: Mode) -> Mode:
        """Set format and size.

        Args:
            mode: the mode to ask for.

        Returns:
            The mode that the driver has chosen.

        Raises:
            OSError: when another program reads from it.
        """
        request = abi.FormatStructure(type=abi.CAPTURE)
        request.any.picture = abi.PictureFormat(width=mode.width, height=mode.height, pixelformat=_code(mode.format))
        return _mode(self.ask(abi.S_FMT, request))

    def controls(self) -> tuple[Control, ...]:
        """The controls that are set by a number."""
        return tuple(self._controls())

    def set_control(self, control: Control, value: int) -> None:
        """Set a control.

        Args:
            control: one of `controls`.
            value: the new value.

        Raises:
            OSError: when the driver refuses that value.
        """
        if not control.smallest <= value <= control.largest:
            raise OSError(f"{control.name} takes {control.smallest} to {control.largest}, not {value}")
        try:
            self.ask(abi.S_CTRL, abi.ControlStructure(id=control.id, value=value))
        except OSError as error:
            raise OSError(f"it refuses {control.name} {value}: {error}") from error

    def close(self) -> None:
        """Close the device; may be called again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _capability(self) -> abi.Capability:
        found = self.ask(abi.QUERYCAP, abi.Capability())
        can = found.device_caps if found.capabilities & _DEVICE_CAPS else found.capabilities
        if can & abi.CAPTURE and can & _STREAMING:
            return found
        raise OSError("it takes no pictures that can be read (a metadata, codec or output node)")

    def ask(self, request: int, structure: _Asked) -> _Asked:
        """Make one ioctl.

        Args:
            request: the number of the ioctl.
            structure: its argument, which the driver may write to.

        Returns:
            The structure as the driver left it.

        Raises:
            BlockingIOError: when there is no result yet.
            Refused: when the kernel refuses the request.
        """
        try:
            self._ioctl(self._descriptor, request, structure)
        except BlockingIOError:
            raise
        except OSError as error:
            raise Refused(*error.args) from error
        return structure

    def _listed(self, request: int, entry: Callable[[int], _Asked]) -> Iterator[_Asked]:
        """Entries from index 0 until the driver has no more; none where it does not have such a list."""
        for index in range(1000):
            try:
                yield self.ask(request, entry(index))
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOTTY):
                    return
                raise

    def _sizes(self, code: int) -> Iterator[Size]:
        for found in self._listed(abi.ENUM_FRAMESIZES, lambda index: abi.FrameSize(index=index, pixel_format=code)):
            if found.type == _DISCRETE:
                width, height = found.sizes[:2]
                yield Size(width, height, rates=self._rates(code, width, height))
            else:
                low, width, across, least, height, down = found.sizes
                yield Size(width, height, (low, least), (across, down), self._rates(code, width, height))
                return  # a range is the only entry, and some drivers repeat it without end

    def _rates(self, code: int, width: int, height: int) -> tuple[float, ...]:
        rates = set()
        for found in self._listed(
            abi.ENUM_FRAMEINTERVALS,
            lambda index: abi.FrameInterval(index=index, pixel_format=code, width=width, height=height),
        ):
            numbers = list(found.fractions)
            ends = zip(numbers[0:4:2], numbers[1:4:2], strict=True)
            fractions = [(numbers[0], numbers[1])] if found.type == _DISCRETE else list(ends)
            rates |= {round(below / above, 3) for above, below in fractions if above}
            if found.type != _DISCRETE:
                break
        return tuple(sorted(rates, reverse=True))

    def _controls(self) -> Iterator[Control]:
        number = 0
        while True:
            try:
                found = self.ask(abi.QUERYCTRL, abi.QueryControl(id=number | _NEXT))
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOTTY):
                    return
                raise
            number = found.id
            if found.type in _VALUES and not found.flags & (_DISABLED | _READ_ONLY):
                yield Control(
                    re.sub(r"[^a-z0-9]+", "_", _text(found.name).lower()).strip("_"), found.id, _VALUES[found.type],
                    found.minimum, found.maximum, found.step, found.default_value,
                )  # fmt: skip


def _mode(found: abi.FormatStructure) -> Mode:
    picture = found.any.picture
    return Mode(_name(picture.pixelformat), picture.width, picture.height, picture.bytesperline)


def _name(code: int) -> str:
    """Four characters from a number; big-endian formats have the highest bit set and are written with `-BE`."""
    return (code & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1").rstrip() + "-BE" * (code >> 31)


def _code(name: str) -> int:
    return int.from_bytes(name.removesuffix("-BE").ljust(4).encode("latin-1"), "little") | name.endswith("-BE") << 31


def _text(part: bytes) -> str:
    return part.decode(errors="replace")
