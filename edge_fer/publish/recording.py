"""The annotated video of a run."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge_fer.capture.sources.picture import silence_opencv
from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.publish.drawing.annotate import annotate
from edge_fer.publish.drawing.face_hider import Hider, ShowAll
from edge_fer.publish.partial_file import PartialFile, claim
from edge_fer.schema import Reading, Record
from edge_fer.settings import Settings
from edge_fer.types import Image

_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
_USUAL_FPS = 25.0
_MAX_LIVE_FPS = 30.0  # streams of variable rate state up to 1000
_MAX_STILL_S = 1.0
_RESERVE_BYTES = 16 * 2**20  # stays free on the disk: a file whose index cannot be written does not play
_FRAMES_BETWEEN_CHECKS = 30

_log = logging.getLogger(__name__)


def check(settings: Settings) -> None:
    """Check whether the recording that the settings name can be written, and change nothing.

    Args:
        settings: the run's settings.

    Raises:
        OutputError: when it cannot. That a run is recording it right now is no error: it may have the same settings.
    """
    assert settings.publish.record is not None
    part = _claim(settings.publish.record)
    if part is not None:
        part.release()


class Pace(NamedTuple):
    """The pace of a source.

    Attributes:
        fps: frames a second; None where unknown.
        live: whether frames arrive at the time that they show.
    """

    fps: float | None
    live: bool


class Recording(Sink):
    """Writes each reading's frame with its faces drawn in.

    The file is written under a hidden name and gets its own when it is complete, so that a recording that fails
    replaces nothing. What a killed run left of a recording is renamed to a visible name. Frames of another size than
    the first are scaled to fit, with black bars. Where the loop was slower than the playback, a live source's frames
    are repeated, so that the video plays at the true speed.

    Args:
        path: the file, .mp4, .mkv or .avi; replaced at the end where it exists.
        pace: the source's pace; called with the first frame, in the sink's thread.
        hider: what the pictures pass before they are written; it is closed with the recording. None: they show all.

    Raises:
        OutputError: when the file cannot be written there, or another run is recording it.
    """

    name = "recording"
    pictures = True
    queue_size = 4

    def __init__(self, path: Path, pace: Callable[[], Pace], *, hider: Hider | None = None) -> None:
        self._path, self._hider, self._pace = path, hider or ShowAll(), pace
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
        for shown, reading in self._hider.add(image, record):
            self._write(annotate(shown, reading), reading)

    def _write(self, picture: Image, record: Reading) -> None:
        """Write one picture, `(height, width, 3)` uint8, BGR, as often as its time asks for."""
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
        """Complete the file and give it its name; without any frame, no file is left.

        Raises:
            OutputError: when the file does not play.
        """
        if self._part is None:
            return
        try:
            for shown, reading in self._hider.flush():
                self._write(annotate(shown, reading), reading)
        finally:
            self._hider.close()
            self._complete()

    def _complete(self) -> None:
        part, self._part = self._part, None
        assert part is not None
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
        silence_opencv()
        fps, self._live = self._pace()
        self._fps = min(fps or _USUAL_FPS, _MAX_LIVE_FPS) if self._live else fps or _USUAL_FPS
        codec = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        writer = cv2.VideoWriter(str(self._part.path), codec, self._fps, self._size)
        if not writer.isOpened():
            raise OutputError(f"expected to write the recording {self._path}, found that OpenCV cannot; try an .avi")
        return writer

    def _copies(self, captured_ns: int) -> int:
        """How often this picture is written; 0 where the video is ahead of it."""
        if not self._live:
            return 1
        due = round((captured_ns - self._started_ns) / 1e9 * self._fps) + 1 - self._written
        longest = round(self._fps * _MAX_STILL_S)
        if due > longest:  # the camera was lost for a while: the gap is cut out and not filled
            self._started_ns += round((due - longest) / self._fps * 1e9)
        return min(max(due, 0), longest)


def _prepare(path: Path) -> PartialFile:
    """Claim the file when the run starts, so that an error does not wait for the first frame."""
    part = _claim(path)
    if part is not None and not part.is_empty:
        aside = part.set_aside()
        advice = "; an .mp4 does not play without its end, an .mkv would" if path.suffix.lower() == ".mp4" else ""
        _log.warning("an earlier run that recorded %s was interrupted; what it wrote is %s%s", path, aside, advice)
        part = _claim(path)
    if part is None:
        raise OutputError(
            f"expected no other run that records {path}, found one; end it, or choose another name for this recording"
        )
    return part


def _claim(path: Path) -> PartialFile | None:
    """Lock a recording; None where another run has locked it.

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
    """Raise OutputError where there is too little free space.

    Args:
        path: the recording.
        so_far: how many frames it has already.
    """
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
    """A picture scaled to fit a size, with black bars where its shape differs; `(height, width, 3)` uint8, BGR."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inner = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    fitted = np.zeros((height, width, 3), np.uint8)
    cv2.resize(picture, inner, dst=fitted[top : top + inner[1], left : left + inner[0]])
    return fitted
