"""Which format, size and controls a V4L2 camera is set to: from what it has and what the settings ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge_fer.capture.sources.v4l2.device import Device, Format, Mode, Size

USB2_BYTES_S = 3 * 1024 * 8000
"""What USB 2 carries of a camera: three packets of 1024 bytes in each of 8000 microframes (USB 2.0, 5.6.3)."""

READABLE: dict[str, tuple[str, float | None]] = {
    "BGR3": ("bgr24", 3), "RGB3": ("rgb24", 3), "XR24": ("bgr0", 4), "YUYV": ("yuyv422", 2), "UYVY": ("uyvy422", 2),
    "NV12": ("nv12", 1.5), "YU12": ("yuv420p", 1.5), "GREY": ("gray8", 1), "MJPG": ("mjpeg", None),
    "JPEG": ("mjpeg", None),
}  # fmt: skip
"""The formats that are read: what `pixels.py` calls them, and bytes a pixel; null where they are compressed."""

_USUAL_RATE = 30.0

# What must be switched off before a value is heeded, and the value that switches it off.
_AUTOMATIC = {"exposure": (0x009A0901, 1), "gain": (0x00980912, 0), "focus": (0x009A090C, 0)}
_MANUAL = {"exposure": 0x009A0902, "gain": 0x00980913, "focus": 0x009A090A}  # V4L2_CID_*


def choose(
    formats: Sequence[Format],
    now: Mode,
    wished_format: str | None,
    width: int | None,
    height: int | None,
    fps: float | None,
    bus_bytes_s: float | None,
) -> Mode:
    """The mode that gives the rate asked, uncompressed where the bus can carry that.

    Args:
        formats: that the camera has.
        now: what it is set to, whose size it keeps where none is asked.
        wished_format: null: any.
        width: pixels; null: any.
        height: pixels; null: any.
        fps: frames a second; null: 30.
        bus_bytes_s: what its bus carries, bytes a second; null: as much as it likes.

    Raises:
        OSError: when the camera has no such format or size; the message lists those it has.
    """
    known = [one for one in formats if one.name in READABLE]
    fitting = [one for one in known if wished_format in (None, one.name)]
    if not fitting:
        wanted = wished_format or "that we can read"
        raise OSError(f"it has no format {wanted}, but {_listed([one.name for one in known or formats])}")
    if width is None and height is None:
        modes = list(_modes(fitting, now.width, now.height)) or list(_modes(fitting, None, None))
    else:
        modes = list(_modes(fitting, width, height))
    if not modes:
        sizes = {_shown(size): None for one in fitting for size in one.sizes}
        raise OSError(f"it gives no picture of {width or 'any'}x{height or 'any'}, but {_listed(list(sizes))}")
    rate = fps or _USUAL_RATE

    def arriving(choice: tuple[Mode, Size]) -> tuple[float, bool, int]:
        mode, size = choice
        _, pixel = READABLE[mode.format]
        area = mode.width * mode.height
        carried = bus_bytes_s / (pixel * area) if pixel and bus_bytes_s else rate
        return round(min(rate, carried, *size.rates[:1]), 1), pixel is not None, area

    return max(modes, key=arriving)[0]


def _modes(formats: Sequence[Format], width: int | None, height: int | None) -> Iterator[tuple[Mode, Size]]:
    """What fits, each with the size it is one of."""
    for one in formats:
        for size in one.sizes:
            mode = Mode(one.name, width or size.width, height or size.height)
            if _is_one_of(mode, size):
                yield mode, size


def _is_one_of(mode: Mode, size: Size) -> bool:
    if size.smallest is None:
        return (mode.width, mode.height) == (size.width, size.height)
    ends = zip((mode.width, mode.height), size.smallest, (size.width, size.height), size.step, strict=True)
    return all(low <= side <= high and (side - low) % max(step, 1) == 0 for side, low, high, step in ends)


def bus_bytes_s(device: Device, sysfs: Path = Path("/sys")) -> float | None:
    """What the bus of a camera carries, bytes a second; null where it is not USB, or faster than USB 2."""
    interface = sysfs / "dev/char" / device.number / "device"
    try:
        megabits = float((interface.resolve().parent / "speed").read_text())
    except (OSError, ValueError):
        return None
    return USB2_BYTES_S * megabits / 480 if megabits <= 480 else None


def set_controls(device: Device, wishes: Mapping[str, float | None], others: Mapping[str, float]) -> None:
    """Set what was asked.

    Args:
        device: an open camera.
        wishes: `exposure` in units of 0.1 ms, `gain` and `focus` in the driver's steps; null: left to the camera.
        others: by name.

    Raises:
        OSError: when the camera has no such control, or refuses the value.
    """
    controls = {one.id: one for one in device.controls()}
    names = {one.name: one for one in controls.values()}
    for wish, value in wishes.items():
        if value is None:
            continue
        manual = controls.get(_MANUAL[wish])
        if manual is None:
            raise OSError(f"its {wish} cannot be set; leave capture.{_SETTING[wish]} at null")
        automatic, off = _AUTOMATIC[wish]
        if automatic in controls:
            device.set_control(controls[automatic], off)
        device.set_control(manual, round(value))
    for name, value in others.items():
        if name not in names:
            raise OSError(f"it has no control {name}, but {_listed(sorted(names))}")
        device.set_control(names[name], round(value))


_SETTING = {"exposure": "exposure_ms", "gain": "gain", "focus": "focus"}


def _shown(size: Size) -> str:
    if size.smallest is None:
        return f"{size.width}x{size.height}"
    return f"{size.smallest[0]}x{size.smallest[1]} to {size.width}x{size.height}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
