"""A picture file: one frame, several pages, or an animation."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2

from edge_fer.capture.sources import SourceFrame
from edge_fer.capture.sources.picture_file import PictureFile
from edge_fer.common.text import printable
from edge_fer.errors import SourceError
from edge_fer.types import Image


class Picture:
    """A picture file; every page of it, or every frame of an animation.

    Args:
        path: the file.

    Attributes:
        fps: frames a second of an animation; None for pictures that do not move.

    Raises:
        SourceError: when it cannot be read or is no complete picture.
    """

    live = False
    skipped = 0

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file = PictureFile(path)
        try:
            self._first = self._file.read()
        except SourceError:
            self._file.close()
            raise
        self.fps: float | None = self._file.fps

    def read(self) -> SourceFrame | None:
        """Read the next picture; see `edge_fer.capture.sources.Source.read`."""
        frame, self._first = self._first or self._file.read(), None
        if frame is None:
            return None
        return SourceFrame(frame.image, time.monotonic_ns(), frame.position_ns, printable(self.name))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_picture(path: Path, *, colour: bool = True) -> Image:
    """Read a file that holds one picture.

    Args:
        path: the file.
        colour: whether it is read in colour.

    Returns:
        uint8: `(height, width, 3)`, BGR, or `(height, width)`, grey; 16-bit and transparent pictures are converted.

    Raises:
        SourceError: when the file cannot be read or does not hold one complete picture.
    """
    with PictureFile(path, colour=colour) as file:
        first = file.read()
        if first is None or file.read() is not None:
            raise SourceError(f"expected one picture in {path}, found {'none' if first is None else 'several'}")
        return first.image


def silence_opencv() -> None:
    """Keep OpenCV and FFmpeg from writing to stderr; their failures are raised as errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if hasattr(cv2, "setLogLevel"):  # OpenCV 4
        cv2.setLogLevel(0)
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
