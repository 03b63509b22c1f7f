"""A video file, frame by frame, through OpenCV's FFmpeg."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np

from edge_fer.capture.sources import USUAL_FPS
from edge_fer.capture.sources.picture import hush_opencv
from edge_fer.errors import SourceError
from edge_fer.types import Image

_WHOLE = 0.9  # containers estimate their length: one that gives so much of it is taken for whole
_MOST_LOST = 300  # frames in a row: a frame may depend on one of 250 before it, at the usual settings of H.264


class Video:
    """A video file. Frames that cannot be decoded are left out and counted.

    Args:
        path: of the file.
        name: what it is called in messages; null: its path.

    Attributes:
        fps: what the file says, or the usual where that makes no sense.
        skipped: frames that could not be decoded, but for those after the last that could.
    """

    live = False

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
        self._claimed = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)  # 0 or below where the file does not say
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        rate = rate if 0 < rate <= 1000 else USUAL_FPS
        self.fps: float | None = rate
        self._frame_s = 1 / rate
        self.skipped = self._frames = 0
        self._shown_s = 0.0  # when the last frame was due
        self._first = self._next()
        if self._first is None:
            self._capture.release()
            raise SourceError(
                f"expected a picture or a video in {path}, found {size} bytes that cannot be decoded; "
                "the file is cut short, damaged, or of another kind: replace it"
            )

    def read(self) -> tuple[Image, int] | None:
        """The next frame; see `edge_fer.capture.sources.Source.read`.

        Raises:
            SourceError: at the end of a file that promised clearly more.
        """
        image, self._first = self._first, None
        if image is None:
            image = self._next()
        if image is None:
            self._check_end()
            return None
        return image, time.monotonic_ns()

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _next(self) -> Image | None:
        """The next frame that can be decoded; one that cannot looks like the end, but for what the file promised."""
        for lost in range(_MOST_LOST):
            read, image = self._capture.read()
            if read:
                self.skipped += lost
                self._frames += 1
                self._shown_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                return np.asarray(image, np.uint8)
            if 0 < self._claimed <= self._frames + self.skipped + lost:
                break
        return None

    def _check_end(self) -> None:
        """Both counting and time must fall short: either alone is off in files of changing rate."""
        counted = self._frames + self.skipped
        promised = _WHOLE * self._claimed
        if counted < promised and self._shown_s + self._frame_s < promised * self._frame_s:
            raise SourceError(
                f"expected about {self._claimed:.0f} frames in {self.name}, found {self._frames}; "
                "the file is cut short or damaged: replace it"
            )
