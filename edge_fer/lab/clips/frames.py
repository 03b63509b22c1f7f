"""The frames of clips by their numbers: each clip is decoded once, and kept as JPEG files while the page is open."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_fer.common.closeable import Closeable
from edge_fer.errors import OutputError, SourceError
from edge_fer.lab.clips.films import frames_of, is_variable, open_film
from edge_fer.lab.clips.saved import sha256_of
from edge_fer.types import Image

LIMIT_MB = 1000.0
"""Most that the frames of all clips may take on the disk, megabytes."""

MOST_FRAMES = 20_000
"""Of a clip; of longer ones nobody could see the timeline."""

_LONGEST_SIDE = 1920  # of a picture, pixels
_QUALITY = 92  # of the JPEG, percent


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """The frames of one clip.

    Attributes:
        folder: of the JPEG files.
        times_ms: presentation time of each frame, milliseconds after the first.
        size: width and height, pixels.
        sha256: of the clip's file.
        taken: bytes on the disk.
        note: what is not as it should be, a sentence; empty where all is well.
    """

    folder: Path
    times_ms: tuple[float, ...]
    size: tuple[int, int]
    sha256: str
    taken: int
    note: str

    @property
    def fps(self) -> float:
        """Frames a second, the median; 25 for a single frame."""
        steps = np.diff(self.times_ms)
        return 1000 / float(np.median(steps)) if len(steps) else 25.0

    @property
    def is_variable(self) -> bool:
        """Whether the time from frame to frame varies."""
        return is_variable(np.diff(self.times_ms).tolist())

    def jpeg(self, number: int) -> bytes:
        """One frame, from 0.

        Raises:
            SourceError: when there is no such frame.
        """
        try:
            return (self.folder / f"{number:06d}.jpg").read_bytes()
        except OSError as error:
            raise SourceError(
                f"expected frame {number} of {len(self.times_ms)}, found none; reload the page"
            ) from error


class FrameCache(Closeable):
    """Decodes clips into a folder that is deleted in the end. For several threads.

    Args:
        limit_mb: most that it may take, megabytes; those that were not asked for the longest time make room.
    """

    def __init__(self, limit_mb: float = LIMIT_MB) -> None:
        self._limit = limit_mb * 1e6
        self._lock = threading.Lock()
        self._known: OrderedDict[Path, ClipFrames] = OrderedDict()
        self._turns: dict[Path, threading.Lock] = {}  # while a clip is decoded, others are shown
        try:
            self._home = tempfile.TemporaryDirectory(prefix="edge-fer-frames-", ignore_cleanup_errors=True)
        except OSError as error:
            raise OutputError(f"expected a folder for frames, found: {error.strerror}; see TMPDIR") from error

    def open(self, clip: Path) -> ClipFrames:
        """The frames of a clip.

        Raises:
            SourceError: when it cannot be read, or has too many frames.
            OutputError: when they cannot be written.
        """
        with self._lock:
            turn = self._turns.setdefault(clip, threading.Lock())
        with turn:
            with self._lock:
                known = self._known.get(clip)
            frames = known or self._decoded(clip)
            with self._lock:
                self._known[clip] = frames
                self._known.move_to_end(clip)
                while sum(one.taken for one in self._known.values()) > self._limit and len(self._known) > 1:
                    shutil.rmtree(self._known.popitem(last=False)[1].folder, ignore_errors=True)
            return frames

    def close(self) -> None:
        """Delete all frames; may be called again."""
        with self._lock:
            self._known.clear()
            self._home.cleanup()

    def _decoded(self, clip: Path) -> ClipFrames:
        told: list[str] = []
        with open_film(clip, told.append) as video:
            try:
                folder = Path(tempfile.mkdtemp(dir=self._home.name))
                return self._written(folder, clip, frames_of(video, told.append), told)
            except SourceError:
                raise
            except OSError as error:
                raise OutputError(f"expected to keep frames of {clip}, found: {error.strerror}; make room") from error

    def _written(self, folder: Path, clip: Path, frames: Iterator[tuple[Image, float]], told: list[str]) -> ClipFrames:
        """Keep all frames of a clip in a folder, or none of them."""
        times: list[float] = []
        taken, size = 0, (0, 0)
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            for image, at_ms in frames:
                jpeg = _jpeg(image)
                (folder / f"{len(times):06d}.jpg").write_bytes(jpeg)
                times.append(at_ms)
                taken, size = taken + len(jpeg), (image.shape[1], image.shape[0])
                if len(times) > MOST_FRAMES or taken > self._limit:
                    raise SourceError(
                        f"expected a clip of {MOST_FRAMES} frames and {self._limit / 1e6:.0f} MB as JPEG at most, "
                        f"found more in {clip}; cut it: edge-fer lab clips cut"
                    )
            stack.pop_all()
        at = tuple(time - times[0] for time in times)
        return ClipFrames(folder, at, size, sha256_of(clip), taken, told[0] if told else "")


def _jpeg(image: Image) -> bytes:
    scale = _LONGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        size = round(image.shape[1] * scale), round(image.shape[0] * scale)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
