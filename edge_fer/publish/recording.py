"""The annotated video of a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge_fer.annotate import annotate
from edge_fer.blur import blur_faces
from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.settings import Settings
from edge_fer.types import Image, Reading, Record

_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
_USUAL_FPS = 25.0
_FASTEST_LIVE_FPS = 30.0  # streams of variable rate claim up to 1000
_LONGEST_STILL_S = 1.0
_RESERVE_BYTES = 16 * 2**20  # left free on the disk: a file whose index cannot be written does not play
_FRAMES_BETWEEN_CHECKS = 30
_MODE = 0o640  # it shows people: nothing for everybody on the box


def check(settings: Settings) -> None:
    """Find out whether the recording that the settings name can be written.

    Raises:
        OutputError: when it cannot.
    """
    assert settings.publish.record is not None
    Recording(settings.publish.record, lambda: Pace(None, live=False)).close()


class Pace(NamedTuple):
    """How a source delivers: frames a second (null where unknown), and whether at the time they show."""

    fps: float | None
    live: bool


class Recording(Sink):
    """Writes each reading's frame with its faces drawn in.

    It grows beside its final name and takes that name when it is complete, so that no file is
    lost for a recording that did not come about. Frames of another size than the first are scaled
    to it. A live source's frames are repeated where the loop was slower than the playback, so that
    it plays at the speed of life.

    Args:
        path: .mp4, .mkv or .avi; replaced at the end when it exists.
        pace: of the source; asked at the first frame.
        blur: make faces unrecognisable.

    Raises:
        OutputError: when the file cannot be written there.
    """

    name = "recording"
    pictures = True
    ahead = 4

    def __init__(self, path: Path, pace: Callable[[], Pace], *, blur: bool = False) -> None:
        self._path, self._blur = path, blur
        self._part = path.parent / f".{path.stem}.part{path.suffix}"
        self._pace = pace
        self._fps, self._live = _USUAL_FPS, False
        self._started_ns = 0
        self._written = 0
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None
        self._prepare()

    def publish(self, record: Record, image: Image | None) -> None:
        """Write the frame of a reading; see `edge_fer.publish.Sink.publish`."""
        if not isinstance(record, Reading) or image is None:
            return
        picture = annotate(blur_faces(image, record.faces) if self._blur else image, record)
        if self._writer is None:
            self._size = (picture.shape[1], picture.shape[0])
            self._writer = self._open()
            self._started_ns = record.captured_ns
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = np.asarray(cv2.resize(picture, self._size), dtype=np.uint8)
        for _ in range(self._copies(record.captured_ns)):
            if self._written % _FRAMES_BETWEEN_CHECKS == 0:
                self._check_space()
            self._writer.write(picture)
            self._written += 1

    def close(self) -> None:
        """Complete the file and give it its name; without a frame, nothing is left.

        Raises:
            OutputError: when it turns out not to play.
        """
        if self._writer is None:
            self._part.unlink(missing_ok=True)
            return
        self._writer.release()
        self._writer = None
        written = cv2.VideoCapture(str(self._part))
        plays = written.read()[0]
        written.release()
        if not plays:
            self._part.unlink(missing_ok=True)
            raise OutputError(f"expected a recording in {self._path} that plays, found a broken one; is the disk full?")
        self._part.replace(self._path)

    def _prepare(self) -> None:
        """Find out at the start of the run, not at its first frame, whether the file can be written."""
        if self._path.suffix.lower() not in _CODECS:
            known = ", ".join(_CODECS)
            raise OutputError(
                f"expected a recording that ends in one of {known}, found {self._path}; choose another name"
            )
        try:
            str(self._path).encode()
            if self._path.is_dir():
                raise IsADirectoryError(21, "it is a folder")
            self._part.touch(_MODE)
        except UnicodeEncodeError as error:
            raise OutputError(
                f"expected a recording with a name in UTF-8, found {str(self._path)!a}; choose another name"
            ) from error
        except OSError as error:
            raise OutputError(
                f"expected to write the recording {self._path}, found: {error.strerror}; choose another place"
            ) from error

    def _open(self) -> cv2.VideoWriter:
        fps, self._live = self._pace()
        self._fps = min(fps or _USUAL_FPS, _FASTEST_LIVE_FPS) if self._live else fps or _USUAL_FPS
        codec = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        writer = cv2.VideoWriter(str(self._part), codec, self._fps, self._size)
        if not writer.isOpened():
            raise OutputError(f"expected to write the recording {self._path}, found that OpenCV cannot; try an .avi")
        return writer

    def _check_space(self) -> None:
        free = shutil.disk_usage(self._path.parent).free
        if free < _RESERVE_BYTES:
            raise OutputError(
                f"expected {_RESERVE_BYTES >> 20} MiB of free space to go on recording {self._path}, "
                f"found {free >> 20} MiB; what was recorded so far is kept: free some space"
            )

    def _copies(self, captured_ns: int) -> int:
        """How many frames of the video this picture fills; 0 where the video is ahead of it."""
        if not self._live:
            return 1
        due = round((captured_ns - self._started_ns) / 1e9 * self._fps) + 1 - self._written
        longest = round(self._fps * _LONGEST_STILL_S)
        if due > longest:  # the camera was away: cut the gap out instead of filling it
            self._started_ns += round((due - longest) / self._fps * 1e9)
        return min(max(due, 0), longest)
