"""Cameras on a Raspberry Pi's ribbon cable, and all others that libcamera supports, through the system's picamera2.

It runs in a child process under the system's own interpreter, which loads nothing of this package but
`picamera2_child.py`: so the package's environment and the system's numpy never meet.

Only one stream is requested, which the camera's image processor makes as BGR. A second, small one for detection would
save resizing to `detect.size`, but cost a second copy and the conversion from YUV: from 1280x720, 0.9 ms against
0.15 ms on the development machine, of the 19 ms that a frame takes. So one stream is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_fer.capture.sources import Source
from edge_fer.capture.sources.child_source import ChildSource
from edge_fer.capture.sources.oriented import oriented
from edge_fer.settings import CaptureSettings

CHILD = Path(__file__).with_name("picamera2_child.py")
HINT = "see `edge-fer cameras`; where picamera2 is missing: sudo apt install python3-picamera2"
ENVIRONMENT = {"LIBCAMERA_LOG_LEVELS": "*:ERROR"}


def open_picamera2(settings: CaptureSettings, cancelled: Callable[[], bool]) -> Source:
    """Open a camera, which mirrors the picture itself where it can.

    Args:
        settings: see `open_source`; `source` is `picamera2` or `picamera2:NUMBER`.
        cancelled: see `open_source`.
    """
    source = ChildSource(
        settings,
        f"{CHILD}:Camera",
        hint=HINT,
        cancelled=cancelled,
        environment=ENVIRONMENT,
        python=settings.python,
        arguments={
            "number": int(settings.source.partition(":")[2] or 0),
            "pixel_format": settings.format,
            "width": settings.width,
            "height": settings.height,
            "fps": settings.fps,
            "hflip": settings.hflip,
            "vflip": settings.vflip,
            "controls": {**_controls(settings), **settings.controls},
        },
    )
    return oriented(source, hflip=source.info.hflip, vflip=source.info.vflip, rotate=settings.rotate)


def _controls(settings: CaptureSettings) -> dict[str, float]:
    """The settings in libcamera's names and units."""
    controls: dict[str, float] = {}
    if settings.exposure_ms is not None:
        controls["ExposureTime"] = round(settings.exposure_ms * 1000)  # us
    if settings.gain is not None:
        controls["AnalogueGain"] = settings.gain
    if settings.focus is not None:
        controls |= {"AfMode": 0, "LensPosition": settings.focus}  # AfModeManual
    return controls
