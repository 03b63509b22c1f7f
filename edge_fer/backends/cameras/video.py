"""A video file, frame by frame, through OpenCV's FFmpeg."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np

from edge_fer.backends.cameras import USUAL_FPS
from edge_fer.backends.cameras.picture import hush_opencv
from edge_fer.errors import SourceError
from edge_fer.types import Image

_WHOLE = 0.9  # containers estimate their length: one that gives so much of it is taken for whole


class Video:
    """A video file.

    Args:
        path: of the file.
        name: what it is called in messages; null: its path.

    Attributes:
        fps: what the file says, or the usual where that makes no sense.
    """

    live = False
    skipped = 0

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.name = name or str(path)
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
        except OSError as error:
            raise SourceError(
                f"expected a picture or a video at {path}, found: {error.strerror}; check the path"
            ) from error
        hush_opencv()
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self._frames = 0
        self._first = self._next()
        if self._first is None:
            self._capture.release()
            raise SourceError(
                f"expected a picture or a video in {path}, found {size} bytes that cannot be decoded; "
                "the file is cut short, damaged, or of another kind: replace it"
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = rate if 0 < rate <= 1000 else USUAL_FPS
        self._claimed = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)

    def read(self) -> tuple[Image, int] | None:
        """The next frame; see `edge_fer.backends.cameras.Source.read`.

        Raises:
            SourceError: at the end of a file that promised clearly more.
        """
        image, self._first = self._first, None
        if image is None:
            image = self._next()
        if image is None:
            self._check_end()
            return None
        self._frames += 1
        return image, time.monotonic_ns()

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _next(self) -> Image | None:
        read, image = self._capture.read()
        return np.asarray(image, np.uint8) if read else None

    def _check_end(self) -> None:
        """Both counting and time must fall short: either alone is off in files of changing rate."""
        shown_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 + 1 / (self.fps or 30.0)
        short = self._frames < _WHOLE * self._claimed
        if short and self.fps and shown_s < _WHOLE * self._claimed / self.fps:
            raise SourceError(
                f"expected about {self._claimed:.0f} frames in {self.name}, found {self._frames}; "
                "the file is cut short or damaged: replace it"
            )
