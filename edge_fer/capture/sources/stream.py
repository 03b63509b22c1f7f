"""Network streams (RTSP over TCP, whatever FFmpeg opens), in a child process.

FFmpeg's own time-outs do not cover every wait; the deadlines of the child process do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from edge_fer.capture.sources.child_source import ChildSource
from edge_fer.capture.sources.film import require_pyav
from edge_fer.settings import CaptureSettings

STREAM_HINT = "check the address, and that its server runs"
_NOT_READ = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


def open_stream(settings: CaptureSettings, cancelled: Callable[[], bool], warn: Callable[[str], None]) -> ChildSource:
    """Open a stream.

    Args:
        settings: see `open_source`; `source` is a URL.
        cancelled: see `open_source`.
        warn: see `open_source`.

    Raises:
        ConfigError: when PyAV is missing.
        SourceError: when it cannot be opened.
    """
    require_pyav()
    if os.environ.get(_NOT_READ):
        warn(f"{_NOT_READ} is set and not read: OpenCV opens no streams here; see the setting capture.stream_options")
    return ChildSource(
        settings,
        "edge_fer.capture.sources.stream_child:Stream",
        hint=STREAM_HINT,
        cancelled=cancelled,
        arguments=stream_arguments(settings),
    )


def stream_arguments(settings: CaptureSettings) -> dict[str, Any]:
    """What a child needs to open a stream, FFmpeg's options in FFmpeg's own words.

    Args:
        settings: the settings.
    """
    options = {
        name: str(int(value) if isinstance(value, bool) else value) for name, value in settings.stream_options.items()
    }
    return {
        "address": settings.source,
        "open_timeout_s": settings.open_timeout_s,
        "read_timeout_s": settings.read_timeout_s,
        "options": options,
    }
