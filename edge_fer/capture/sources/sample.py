"""The clip that ships with the package."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from edge_fer.capture.sources.video import Video

CLIP = Path(str(files("edge_fer"))) / "assets" / "sample.mp4"


def open_sample(warn: Callable[[str], None]) -> Video:
    """Open the clip, which is read like any video.

    Args:
        warn: see `Video`.
    """
    return Video(CLIP, name="sample", warn=warn)
