"""Network streams (RTSP over TCP, MJPEG over HTTP, whatever FFmpeg opens) through OpenCV, in a child process.

The child asks for the next frame as soon as the last one was taken, so that none grows old in a buffer. FFmpeg's own
time-outs do not cover all that it waits for; the child's deadlines do.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from edge_fer.capture.sources.child_source import ChildSource
from edge_fer.settings import CaptureSettings

_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_ENVIRONMENT = {
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": None,  # FFmpeg's own default tells errors: the child's last words explain a failure
    # RTSP over TCP loses no packets; the rest keeps FFmpeg from holding frames back, and from watching twenty of them
    # to guess their rate before it opens. The user's own go first.
    _OPTIONS: os.environ.get(_OPTIONS, "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|fpsprobesize;0"),
}


def open_stream(settings: CaptureSettings, cancelled: Callable[[], bool]) -> ChildSource:
    """Open a stream; see `open_source`."""
    return ChildSource(
        settings,
        "edge_fer.capture.sources.stream_child:Stream",
        hint="check the address, and that its server runs",
        cancelled=cancelled,
        environment=_ENVIRONMENT,
        arguments={
            "address": settings.source,
            "open_timeout_s": settings.open_timeout_s,
            "read_timeout_s": settings.read_timeout_s,
        },
    )
