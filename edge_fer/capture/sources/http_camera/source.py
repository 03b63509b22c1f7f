"""Cameras and streams behind http:// and https://, in a child process."""

from __future__ import annotations

from collections.abc import Callable

from edge_fer.capture.sources.child_source import ChildSource
from edge_fer.capture.sources.stream import STREAM_HINT, stream_arguments
from edge_fer.settings import CaptureSettings


def open_http_camera(settings: CaptureSettings, cancelled: Callable[[], bool]) -> ChildSource:
    """Open a camera.

    Args:
        settings: see `open_source`; `source` is a URL.
        cancelled: see `open_source`.
    """
    return ChildSource(
        settings,
        "edge_fer.capture.sources.http_camera.child:open_camera",
        hint=STREAM_HINT,
        cancelled=cancelled,
        arguments={
            **stream_arguments(settings),
            "fps": settings.fps,
            "ca_file": None if settings.ca_file is None else str(settings.ca_file),
        },
    )
