"""Network streams (RTSP over TCP, whatever FFmpeg opens) through OpenCV, in a child process.

FFmpeg's own time-outs do not cover every wait; the deadlines of the child process do.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from edge_fer.capture.sources.child_source import ChildSource
from edge_fer.settings import CaptureSettings

STREAM_HINT = "check the address, and that its server runs"
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
STREAM_ENVIRONMENT = {
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": None,  # by default FFmpeg prints errors: the child's last output explains a failure
    # RTSP over TCP loses no packets. The other options keep FFmpeg from holding frames back, and from reading twenty of
    # them to estimate their rate before it opens. The user's own options have precedence.
    _OPTIONS: os.environ.get(_OPTIONS, "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|fpsprobesize;0"),
}


def open_stream(settings: CaptureSettings, cancelled: Callable[[], bool]) -> ChildSource:
    """Open a stream.

    Args:
        settings: see `open_source`; `source` is a URL.
        cancelled: see `open_source`.
    """
    return ChildSource(
        settings,
        "edge_fer.capture.sources.stream_child:Stream",
        hint=STREAM_HINT,
        cancelled=cancelled,
        environment=STREAM_ENVIRONMENT,
        arguments={
            "address": settings.source,
            "open_timeout_s": settings.open_timeout_s,
            "read_timeout_s": settings.read_timeout_s,
        },
    )
