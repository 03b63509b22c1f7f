"""The annotated video of a run."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge_fer.capture.sources.picture import hush_opencv
from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.publish.drawing.annotate import annotate
from edge_fer.publish.drawing.blur import blur_faces
from edge_fer.publish.partial_file import PartialFile, claim
from edge_fer.schema import Reading, Record
from edge_fer.settings import Settings
from edge_fer.types import Image

_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
_USUAL_FPS = 25.0
_FASTEST_LIVE_FPS = 30.0  # streams of variable rate claim up to 1000
_LONGEST_STILL_S = 1.0
_RESERVE_BYTES = 16 * 2**20  # left free on the disk: a file whose index cannot be written does not play
_FRAMES_BETWEEN_CHECKS = 30

_log = logging.getLogger(__name__)


def check(settings: Settings) -> None:
    """Find out whether the recording that the settings name can be written, and change nothing.

    Raises:
        OutputError: when it cannot. That a run records it right now is no fault: the settings may be that run's.
    """
    assert settings.publish.record is not None
    part = _claim(settings.publish.record)
    if part is not None:
        part.leave()


class Pace(NamedTuple):
    """How a source delivers: frames a second (null where unknown), and whether at the time they show."""

    fps: float | None
    live: bool


class Recording(Sink):
    """Writes each reading's frame with its faces drawn in.

    It grows beside its final name and takes that name when it is complete, so that no file is
    lost for a recording that did not come about. What a run that was killed left of one is put aside
    under a name that shows. Frames of another size than the first are scaled to fit into it, with
    black bars. A live source's frames are repeated where the loop was slower than the playback, so
    that it plays at the speed of life.

    Args:
        path: .mp4, .mkv or .avi; replaced at the end when it exists.
        pace: of the source; asked at the first frame.
        blur: make faces unrecognisable.

    Raises:
        OutputError: when the file cannot be written there, or another run records it.
    """

    name = "recording"
    pictures = True
    queue_size = 4

    def __init__(self, path: Path, pace: Callable[[], Pace], *, blur: bool = False) -> None:
        self._path, self._blur, self._pace = path, blur, pace
        self._fps, self._live = _USUAL_FPS, False
        self._started_ns = 0
        self._written = 0
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None
        self._part: PartialFile | None = _prepare(path)

    def publish(self, record: Record, image: Image | None) -> None:
        """Write the frame of a reading; see `edge_fer.publish.Sink.publish`."""
        if not isinstance(record, Reading) or image is None:
            return
        picture = annotate(blur_faces(image, record.faces) if self._blur else image, record)
        if self._writer is None:
            self._size = (picture.shape[1], picture.shape[0])
            self._writer = self._open()
            self._started_ns = record.captured_ns
        picture = _fitted(picture, *self._size)
        for _ in range(self._copies(record.captured_ns)):
            if self._written % _FRAMES_BETWEEN_CHECKS == 0:
                _check_space(self._path, so_far=self._written)
            self._writer.write(picture)
            self._written += 1

    def close(self) -> None:
        """Complete the file and give it its name; without a frame, nothing is left.

        Raises:
            OutputError: when it turns out not to play.
        """
        part, self._part = self._part, None
        if part is None:
            return
        if self._writer is not None:
            self._writer.release()
        if not self._written:
            part.discard()
        elif _plays(part.path):
            part.complete()
        else:
            part.discard()
            raise OutputError(f"expected a recording in {self._path} that plays, found a broken one; is the disk full?")

    def _open(self) -> cv2.VideoWriter:
        assert self._part is not None
        _check_space(self._path)
        hush_opencv()
        fps, self._live = self._pace()
        self._fps = min(fps or _USUAL_FPS, _FASTEST_LIVE_FPS) if self._live else fps or _USUAL_FPS
        codec = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        writer = cv2.VideoWriter(str(self._part.path), codec, self._fps, self._size)
        if not writer.isOpened():
            raise OutputError(f"expected to write the recording {self._path}, found that OpenCV cannot; try an .avi")
        return writer

    def _copies(self, captured_ns: int) -> int:
        """How many frames of the video this picture fills; 0 where the video is ahead of it."""
        if not self._live:
            return 1
        due = round((captured_ns - self._started_ns) / 1e9 * self._fps) + 1 - self._written
        longest = round(self._fps * _LONGEST_STILL_S)
        if due > longest:  # the camera was away: cut the gap out instead of filling it
            self._started_ns += round((due - longest) / self._fps * 1e9)
        return min(max(due, 0), longest)


def _prepare(path: Path) -> PartialFile:
    """Find out at the start of the run, not at its first frame, whether the file can be written."""
    part = _claim(path)
    if part is not None and not part.is_empty:
        aside = part.put_aside()
        advice = "; an .mp4 does not play without its end, an .mkv would" if path.suffix.lower() == ".mp4" else ""
        _log.warning("an earlier run that recorded %s was interrupted; what it wrote is %s%s", path, aside, advice)
        part = _claim(path)
    if part is None:
        raise OutputError(
            f"expected no other run that records {path}, found one; end it, or choose another name for this recording"
        )
    return part


def _claim(path: Path) -> PartialFile | None:
    """Have a recording for oneself; null where another run has it.

    Raises:
        OutputError: when it cannot be written.
    """
    _check_name(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        _check_space(path)
        return claim(path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"expected to write the recording {path}, found: {error.strerror}; choose another place"
        ) from error


def _check_name(path: Path) -> None:
    if path == Path() or path.name.lower() in _CODECS:
        found = "no name" if path == Path() else f"only an ending in {path}"
        raise OutputError(f"expected the name of a recording, such as out.mp4, found {found}; choose one")
    if path.suffix.lower() not in _CODECS:
        raise OutputError(
            f"expected a recording that ends in one of {', '.join(_CODECS)}, found {path}; choose another name"
        )
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise OutputError(
            f"expected a recording with a name in UTF-8, found {str(path)!a}; choose another name"
        ) from error


def _check_space(path: Path, so_far: int = 0) -> None:
    """Raise OutputError where a recording has no room to go on, with so many frames so far."""
    free = shutil.disk_usage(path.parent).free
    if free < _RESERVE_BYTES:
        kept = "; what was recorded so far is kept" if so_far else ""
        raise OutputError(
            f"expected {_RESERVE_BYTES >> 20} MiB of free space to record {path}, found {free >> 20} MiB{kept}; "
            "free some space, or choose another place"
        )


def _plays(path: Path) -> bool:
    video = cv2.VideoCapture(str(path))
    plays = bool(video.read()[0])
    video.release()
    return plays


def _fitted(picture: Image, width: int, height: int) -> Image:
    """A picture scaled into a size, with black bars where its shape is another."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inner = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    fitted = np.zeros((height, width, 3), np.uint8)
    cv2.resize(picture, inner, dst=fitted[top : top + inner[1], left : left + inner[0]])
    return fitted
