"""Frames for benchmarks: decoded before any clock runs, or from a source whose frames are timed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from edge_fer.capture.camera import Opener
from edge_fer.capture.sources import Source, SourceFrame
from edge_fer.capture.sources.open_source import open_source
from edge_fer.errors import SourceError
from edge_fer.faces.resize import fit
from edge_fer.settings import CaptureSettings, Settings
from edge_fer.types import Image

_SYNTHETIC = "synthetic:"
_DRAWN = 90  # most frames that are drawn; they are shown forwards and backwards

USUAL_FPS = 30.0
"""Frame rate of sources that do not state theirs, Hz."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The source of a live run.

    Attributes:
        settings: the run's settings, with the source.
        opener: opens the source.
        frames_mb: memory of the frames that were decoded before, MB.
        size: long side that synthetic frames are shrunk to, pixels.
    """

    settings: Settings
    opener: Opener = open_source
    frames_mb: float = 0.0
    size: int = 600


def scene_of(settings: Settings, size: int) -> Scene:
    """The source that the settings name.

    A file is decoded while it is shown, as the pictures of a camera are. Synthetic frames are drawn before: drawing
    them takes longer than finding the faces in them.

    Args:
        settings: the run's settings, with the source.
        size: long side that synthetic frames are shrunk to, pixels.

    Raises:
        SourceError: when it cannot be read.
    """
    if not settings.capture.source.startswith(_SYNTHETIC):
        return Scene(settings, size=size)
    images, fps = decode(settings.capture, _DRAWN, size)
    name = settings.capture.source
    return Scene(settings, lambda *_: Ready(name, images, fps), sum(image.nbytes for image in images) / 1e6, size)


def crowd(settings: Settings, faces: int) -> Settings:
    """The settings of a run with a number of synthetic faces."""
    return settings.model_copy(update={"capture": CaptureSettings(source=f"{_SYNTHETIC}{faces}")})


def decode(
    settings: CaptureSettings, count: int, size: int, opener: Callable[[CaptureSettings], Source] = open_source
) -> tuple[list[Image], float]:
    """Decode the first frames of a source.

    Args:
        settings: the settings of the source.
        count: most frames to decode.
        size: long side that frames are shrunk to, pixels.
        opener: opens the source.

    Returns:
        The frames, each `(height, width, 3)` uint8, BGR, and the frame rate of the source, Hz; 30 where it states none.

    Raises:
        SourceError: when the source cannot be read, or has no frame.
    """
    frames: list[Image] = []
    with closing(opener(settings)) as source:
        fps = source.fps or USUAL_FPS
        while len(frames) < count and (taken := source.read()) is not None:
            frames.append(fit(taken.image, size))
        if not frames:
            raise SourceError(f"expected at least one frame from {source.name}, found none; name another source")
    return frames, fps


class Ready:
    """A source of decoded frames: it shows them forwards and backwards, without end and without a cut.

    Args:
        name: name of the source.
        frames: the frames, each `(height, width, 3)` uint8, BGR.
        fps: frame rate, Hz.
    """

    live = False
    skipped = 0

    def __init__(self, name: str, frames: Sequence[Image], fps: float) -> None:
        self.name = name
        self.fps: float | None = fps
        self._images = itertools.cycle([*frames, *frames[-2:0:-1]])

    def read(self) -> SourceFrame | None:
        """The next frame; see `edge_fer.capture.sources.Source.read`."""
        return SourceFrame(next(self._images), time.monotonic_ns())

    def close(self) -> None:
        """Do nothing: nothing is open."""


class Watch:
    """Opens a source that begins again at its end, and notes when frames are taken from it.

    Args:
        opener: opens the source itself.
        clock: CLOCK_MONOTONIC, nanoseconds.

    Attributes:
        taken_ns: when each frame was taken, CLOCK_MONOTONIC.
    """

    def __init__(self, opener: Opener = open_source, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.taken_ns: list[int] = []
        self._opener, self._clock = opener, clock

    def open(self, settings: CaptureSettings, cancelled: Callable[[], bool], warn: Callable[[str], None]) -> Source:
        """See `edge_fer.capture.camera.Opener`."""
        return _Watched(lambda: self._opener(settings, cancelled, warn), self.taken_ns, self._clock)

    def longest_gap_ms(self, since_ns: int, until_ns: int) -> float:
        """Longest time between two frames that were taken between two moments, milliseconds."""
        taken = [since_ns, *(moment for moment in self.taken_ns if since_ns <= moment <= until_ns), until_ns]
        return float(np.diff(taken).max()) / 1e6


class _Watched:
    """A source that begins again at its end; a live source has none."""

    def __init__(self, open_again: Callable[[], Source], taken_ns: list[int], clock: Callable[[], int]) -> None:
        self._open_again, self._taken_ns, self._clock = open_again, taken_ns, clock
        self._source = open_again()
        self.name, self.live, self.fps = self._source.name, self._source.live, self._source.fps
        self.skipped = 0

    def read(self) -> SourceFrame | None:
        taken = self._source.read()
        if taken is None:
            self._source.close()
            self._source = self._open_again()
            taken = self._source.read()
        self.skipped = self._source.skipped
        self._taken_ns.append(self._clock())
        return taken

    def close(self) -> None:
        self._source.close()
