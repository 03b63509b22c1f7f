"""Cameras that the kernel supports (V4L2: USB, capture cards), in a child process."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from edge_fer.capture.sources.child_source import ChildSource
from edge_fer.common.files import mode_of
from edge_fer.errors import ConfigError, SourceError
from edge_fer.settings import CaptureSettings
from edge_fer.settings.addresses import is_index

_EXPOSURE_STEPS_A_MS = 10  # V4L2_CID_EXPOSURE_ABSOLUTE counts units of 100 us


def open_v4l2(settings: CaptureSettings, cancelled: Callable[[], bool]) -> ChildSource:
    """Open a camera.

    Args:
        settings: see `open_source`; `source` is an index or the path of a device node.
        cancelled: see `open_source`.
    """
    path = f"/dev/video{settings.source}" if is_index(settings.source) else settings.source
    check_device(Path(path))
    exposure = None if settings.exposure_ms is None else settings.exposure_ms * _EXPOSURE_STEPS_A_MS
    return ChildSource(
        settings,
        "edge_fer.capture.sources.v4l2.child:Camera",
        hint=f"see `edge-fer cameras`, and who uses it: fuser -v {path}",
        cancelled=cancelled,
        arguments={
            "path": path,
            "pixel_format": settings.format,
            "width": settings.width,
            "height": settings.height,
            "fps": settings.fps,
            "requested": {"exposure": exposure, "gain": settings.gain, "focus": settings.focus},
            "controls": {name: _number(name, value) for name, value in settings.controls.items()},
        },
    )


def _number(name: str, value: object) -> int:
    if isinstance(value, (int, float)):
        return round(value)
    raise ConfigError(f"setting `capture.controls.{name}`: expected a number for a V4L2 camera, found {value!r}")


def check_device(path: Path, folder: Path = Path("/dev")) -> None:
    """Check a camera without opening it.

    Args:
        path: the device node.
        folder: the folder of device nodes; another one in tests.

    Raises:
        SourceError: when it is missing, no device, or this user may not open it.
    """
    mode = mode_of(path)
    if mode is None:
        there = ", ".join(sorted(map(str, folder.glob("video*")))) or "no camera at all"
        raise SourceError(f"expected a camera at {path}, found {there}; plug it in, or name another with --camera")
    if not stat.S_ISCHR(mode):
        raise SourceError(f"expected a camera at {path}, found no character device; name another with --camera")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(
            f"expected a camera at {path} that this user may open, found no permission; "
            f"join its group: sudo usermod -aG {_group(path)} $USER, then log in again"
        )


def _group(path: Path) -> str:
    """The name of a file's group; its number where it has no name, as in containers."""
    try:
        return path.group()
    except KeyError:
        return str(path.stat().st_gid)
