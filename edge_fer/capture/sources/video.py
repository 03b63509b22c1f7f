"""A video file, frame by frame, through OpenCV's FFmpeg."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np

from edge_fer.capture.sources import USUAL_FPS, SourceFrame
from edge_fer.capture.sources.picture import silence_opencv
from edge_fer.common.text import printable
from edge_fer.errors import SourceError
from edge_fer.types import Image

_COMPLETE = 0.9  # containers estimate their length: a file that gives this share of it counts as complete
_MAX_LOST = 300
"""After so many frames in a row that cannot be decoded a file is given up: at the usual settings of H.264 a frame may
depend on any of the 250 before it."""


class Video:
    """A video file. Frames that cannot be decoded are left out and counted.

    Args:
        path: the file.
        name: the name for messages; None: the path.
        max_lost: after so many frames in a row that cannot be decoded the file counts as ended.

    Attributes:
        fps: frames a second as the file states them, or 30 where that cannot be true.
        skipped: how many frames could not be decoded, except those after the last that could.

    Raises:
        SourceError: when the file cannot be read, or has no frame that can be decoded.
    """

    live = False

    def __init__(self, path: Path, name: str | None = None, *, max_lost: int = _MAX_LOST) -> None:
        self.name = name or str(path)
        self._max_lost = max_lost
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
        except OSError as error:
            raise SourceError(
                f"expected a picture or a video at {path}, found: {error.strerror}; check the path"
            ) from error
        silence_opencv()
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self._claimed = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)  # frames; 0 or below where the file does not say
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        rate = rate if 0 < rate <= 1000 else USUAL_FPS
        self.fps: float | None = rate
        self._frame_s = 1 / rate
        self.skipped = self._frames = 0
        self._shown_s = 0.0  # presentation time of the last frame
        self._first = self._next()
        if self._first is None:
            self._capture.release()
            raise SourceError(
                f"expected a picture or a video in {path}, found {size} bytes that cannot be decoded; "
                "the file is cut short, damaged, or of another kind: replace it"
            )

    def read(self) -> SourceFrame | None:
        """Read the next frame; see `edge_fer.capture.sources.Source.read`.

        Raises:
            SourceError: at the end of a file that stated clearly more frames.
        """
        image, self._first = self._first, None
        if image is None:
            image = self._next()
        if image is None:
            self._check_end()
            return None
        return SourceFrame(image, time.monotonic_ns(), file=printable(self.name))

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _next(self) -> Image | None:
        """Read the next frame that can be decoded; None at the end.

        OpenCV reports a frame that cannot be decoded like the end; only the number of frames that the file states tells
        them apart.
        """
        for lost in range(self._max_lost):
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
        """Raise SourceError when the file is incomplete.

        Both the number of frames and the time must fall short: either alone is wrong in files of variable rate.
        """
        counted = self._frames + self.skipped
        expected = _COMPLETE * self._claimed
        if counted < expected and self._shown_s + self._frame_s < expected * self._frame_s:
            raise SourceError(
                f"expected about {self._claimed:.0f} frames in {self.name}, found {self._frames}; "
                "the file is cut short or damaged: replace it"
            )
