"""Chooses the format and size of a V4L2 camera and sets its controls, from what it offers and what the settings ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge_fer.capture.sources.v4l2.device import Device, Format, Mode, Size

USB2_BYTES_S = 3 * 1024 * 8000
"""A camera's share of USB 2, bytes a second: three packets of 1024 bytes in 8000 microframes each (USB 2.0, 5.6.3)."""

READABLE: dict[str, tuple[str, float | None]] = {
    "BGR3": ("bgr24", 3), "RGB3": ("rgb24", 3), "XR24": ("bgr0", 4), "YUYV": ("yuyv422", 2), "UYVY": ("uyvy422", 2),
    "NV12": ("nv12", 1.5), "YU12": ("yuv420p", 1.5), "GREY": ("gray8", 1), "MJPG": ("mjpeg", None),
    "JPEG": ("mjpeg", None),
}  # fmt: skip
"""The formats that can be read: their names in `pixels.py`, and bytes a pixel, None where they are compressed."""

_USUAL_RATE = 30.0

# The automatic control that must be off before a value has an effect, and the value that switches it off.
_AUTOMATIC = {"exposure": (0x009A0901, 1), "gain": (0x00980912, 0), "focus": (0x009A090C, 0)}
_MANUAL = {"exposure": 0x009A0902, "gain": 0x00980913, "focus": 0x009A090A}  # V4L2_CID_*


def choose(
    formats: Sequence[Format],
    now: Mode,
    pixel_format: str | None,
    width: int | None,
    height: int | None,
    fps: float | None,
    bus_bytes_s: float | None,
) -> Mode:
    """The mode that reaches the rate, uncompressed where the bus can carry that.

    Args:
        formats: the formats that the camera offers.
        now: the mode that it is set to; its size is kept where none is asked for.
        pixel_format: four-character code; None: any.
        width: pixels; None: any.
        height: pixels; None: any.
        fps: frames a second; None: 30.
        bus_bytes_s: what the camera's bus carries, bytes a second; None: no limit.

    Raises:
        OSError: when the camera has no such format or size; the message lists those it has.
    """
    known = [one for one in formats if one.name in READABLE]
    fitting = [one for one in known if pixel_format in (None, one.name)]
    if not fitting:
        wanted = pixel_format or "that we can read"
        raise OSError(f"it has no format {wanted}, but {_listed([one.name for one in known or formats])}")
    if width is None and height is None:
        modes = list(_modes(fitting, now.width, now.height)) or list(_modes(fitting, None, None))
    else:
        modes = list(_modes(fitting, width, height))
    if not modes:
        sizes = {_shown(size): None for one in fitting for size in one.sizes}
        raise OSError(f"it gives no picture of {width or 'any'}x{height or 'any'}, but {_listed(list(sizes))}")
    rate = fps or _USUAL_RATE

    def rank(choice: tuple[Mode, Size]) -> tuple[float, bool, int]:
        mode, size = choice
        _, pixel = READABLE[mode.format]
        area = mode.width * mode.height
        carried = bus_bytes_s / (pixel * area) if pixel and bus_bytes_s else rate
        return round(min(rate, carried, *size.rates[:1]), 1), pixel is not None, area

    return max(modes, key=rank)[0]


def _modes(formats: Sequence[Format], width: int | None, height: int | None) -> Iterator[tuple[Mode, Size]]:
    """The modes of that width and height, each with the size, or range of sizes, that it is one of."""
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
    """What the bus of a camera carries, bytes a second; None where it is not USB, or faster than USB 2.

    Args:
        device: an open camera.
        sysfs: where the kernel's sysfs is mounted; another folder in tests.
    """
    interface = sysfs / "dev/char" / device.number / "device"
    try:
        megabits = float((interface.resolve().parent / "speed").read_text())
    except (OSError, ValueError):
        return None
    return USB2_BYTES_S * megabits / 480 if megabits <= 480 else None


def set_controls(device: Device, requested: Mapping[str, float | None], others: Mapping[str, float]) -> None:
    """Set controls.

    Args:
        device: an open camera.
        requested: `exposure` in units of 0.1 ms, `gain` and `focus` in the driver's steps; None: left to the camera.
        others: values of further controls, by name.

    Raises:
        OSError: when the camera has no such control, or refuses the value.
    """
    controls = {one.id: one for one in device.controls()}
    names = {one.name: one for one in controls.values()}
    for what, value in requested.items():
        if value is None:
            continue
        manual = controls.get(_MANUAL[what])
        if manual is None:
            raise OSError(f"its {what} cannot be set; leave capture.{_SETTING[what]} at null")
        automatic, off = _AUTOMATIC[what]
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
