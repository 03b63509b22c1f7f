"""Cameras (V4L2) and network streams (FFmpeg) through OpenCV, in a child process."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from edge_fer.backends.cameras import is_index, is_url, mode_of
from edge_fer.backends.cameras.child import ChildSource
from edge_fer.errors import SourceError
from edge_fer.settings import CaptureSettings

_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_ENVIRONMENT = {
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": None,  # FFmpeg's own default tells errors: the child's last words explain a failure
    # RTSP over TCP loses no packets; the rest keeps FFmpeg from holding frames back. The user's own go first.
    _OPTIONS: os.environ.get(_OPTIONS, "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"),
}


def open_camera(settings: CaptureSettings, cancelled: Callable[[], bool]) -> ChildSource:
    """Open a camera or stream; see `edge_fer.backends.cameras.open_source`."""
    if is_url(settings.source):
        address, hint = settings.source, "check the address, and that its server runs"
    else:
        address = f"/dev/video{settings.source}" if is_index(settings.source) else settings.source
        check_device(Path(address))
        hint = (
            f"another program may be using it (fuser -v {address}), or it takes no pictures (v4l2-ctl --list-devices)"
        )
    return ChildSource(
        settings,
        "edge_fer.backends.cameras.opencv_child:Capture",
        hint=hint,
        cancelled=cancelled,
        environment=_ENVIRONMENT,
        arguments={
            "address": address,
            "width": settings.width,
            "height": settings.height,
            "fps": settings.fps,
            "open_timeout_s": settings.open_timeout_s,
            "read_timeout_s": settings.read_timeout_s,
        },
    )


def check_device(path: Path, folder: Path = Path("/dev")) -> None:
    """What can be said of a camera without opening it.

    Args:
        path: of the device.
        folder: where devices are.

    Raises:
        SourceError: when it is missing, no device, or not ours to open.
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
    """Name of the group of a file; its number where it has no name, as in containers."""
    try:
        return path.group()
    except KeyError:
        return str(path.stat().st_gid)
