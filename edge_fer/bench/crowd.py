"""How the time of a frame grows with its faces: crowds of synthetic faces take turns in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from edge_fer.bench.compare import Runtime, read_all
from edge_fer.bench.live import Length, run_live
from edge_fer.bench.records import Crowd, Growth, Live, Progress
from edge_fer.bench.source import crowd, decode, scene_of
from edge_fer.common.closeable import Closeable
from edge_fer.expression import ExpressionModel
from edge_fer.faces.detectors import open_follower
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import Settings
from edge_fer.types import Box, Image

_WARM_UP_FRAMES = 10  # after a change of crowds: a face is published once it was found in a few frames
_UNIT_PASSES = 5  # timed passes of each network alone, in a turn
_FACE = Box(200.0, 200.0, 160.0, 160.0)  # the time of a network does not depend on the picture

Clock = Callable[[], float]


class Turn(NamedTuple):
    """One pass through the frames of a crowd.

    Attributes:
        frame_ms: mean time of a frame, milliseconds.
        found: mean number of faces that were found in a frame.
    """

    frame_ms: float
    found: float


class Units(Closeable):
    """The two networks that every face passes, each timed alone.

    Args:
        settings: the run's settings.
        model: the model that reads expressions in this run; nothing else uses it meanwhile, and it stays open.
        clock: a clock in seconds.

    Attributes:
        classify_ms: time of each classification, milliseconds.
        follow_ms: time of each pass of the follower, milliseconds; empty where the detector has none.
    """

    def __init__(self, settings: Settings, model: ExpressionModel, clock: Clock = time.perf_counter) -> None:
        self.classify_ms: list[float] = []
        self.follow_ms: list[float] = []
        self._model, self._clock = model, clock
        self._follower = open_follower(settings.detect, settings.track, ModelStore(settings.models))
        self._face = model.blank_face
        model.classify(self._face)  # the first pass of a network is the slowest

    def measure(self, image: Image) -> None:
        """Time both a few times more, in turns.

        Args:
            image: `(height, width, 3)` uint8, BGR: the picture that the follower gets.
        """
        for _ in range(_UNIT_PASSES):
            self.classify_ms.append(self._timed(lambda: self._model.classify(self._face)))
            if self._follower is not None:
                follow = partial(self._follower.follow, image, {0: _FACE})
                self.follow_ms.append(self._timed(follow))

    def _timed(self, work: Callable[[], object]) -> float:
        start = self._clock()
        work()
        return (self._clock() - start) * 1e3

    def close(self) -> None:
        """Free the follower."""
        if self._follower is not None:
            self._follower.close()


def run_crowds(
    settings: Settings, crowds: Sequence[int], frames: int, turns: int, length: Length, size: int, progress: Progress
) -> tuple[tuple[Crowd, ...], Growth | None]:
    """Measure crowds at the rate of a camera, and as fast as they go.

    Args:
        settings: the run's settings.
        crowds: number of faces of each crowd.
        frames: frames of each crowd in a turn.
        turns: how often the frames of each crowd are read.
        length: length of each live run.
        size: long side that frames are shrunk to, pixels.
        progress: receives the current step and its progress.

    Returns:
        The crowds, and the line through them; None where all crowds with a face have the same size.

    Raises:
        EdgeFerError: when a run fails.
    """
    lives = []
    for faces in crowds:
        progress(f"drawing {faces} faces", 0.0)
        scene = scene_of(crowd(settings, faces), size)
        lives.append(run_live(scene, length, partial(progress, f"live: {faces} faces")))
    images = {faces: decode(crowd(settings, faces).capture, frames, size) for faces in crowds}
    fps = next(iter(images.values()))[1]
    with Runtime(settings, fps) as runtime, Units(settings, runtime.recognizer.model) as units:
        taken = take_turns(runtime, {faces: shown for faces, (shown, _) in images.items()}, turns, units, progress)
        measured = tuple(summarise(faces, taken[faces], live) for faces, live in zip(crowds, lives, strict=True))
        return measured, growth(measured, units.classify_ms, units.follow_ms)


def take_turns(
    runtime: Runtime,
    images: Mapping[int, Sequence[Image]],
    turns: int,
    units: Units,
    progress: Progress,
    clock: Clock = time.perf_counter,
) -> dict[int, list[Turn]]:
    """Let crowds take turns, with the networks timed alone in between.

    Args:
        runtime: reads the frames.
        images: frames of each crowd, by its number of faces; each `(height, width, 3)` uint8, BGR.
        turns: how often the frames of each crowd are read.
        units: the networks, timed once for each crowd and turn.
        progress: receives the current step and its progress.
        clock: a clock in seconds.

    Returns:
        The turns of each crowd, by its number of faces.
    """
    taken: dict[int, list[Turn]] = {faces: [] for faces in images}
    for turn in range(turns):
        for place, (faces, shown) in enumerate(images.items()):
            progress(f"turn {turn + 1} of {turns}: {faces} faces", (turn + place / len(images)) / turns)
            read_all(runtime, _before_first(shown, _WARM_UP_FRAMES))
            start = clock()
            found = read_all(runtime, shown)
            taken[faces].append(Turn((clock() - start) * 1e3 / len(shown), found / len(shown)))
            units.measure(shown[0])
    return taken


def summarise(faces: int, turns: Sequence[Turn], live: Live) -> Crowd:
    """The figures of one crowd."""
    times = [turn.frame_ms for turn in turns]
    return Crowd(
        faces,
        round(statistics.mean(turn.found for turn in turns), 2),
        round(statistics.median(times), 2),
        (round(min(times), 2), round(max(times), 2)),
        live,
    )


def growth(crowds: Sequence[Crowd], classify_ms: Sequence[float], follow_ms: Sequence[float]) -> Growth | None:
    """The line of least squares through the crowds; None where all crowds with a face have the same size.

    Frames without a face are left out: while no face is followed, every frame is searched as a whole.

    Args:
        crowds: the crowds with their times.
        classify_ms: times of classifications alone, milliseconds.
        follow_ms: times of the follower alone, milliseconds.
    """
    crowds = [crowd for crowd in crowds if crowd.faces > 0]
    faces = np.array([crowd.faces for crowd in crowds], np.float64)
    if len(np.unique(faces)) < 2:
        return None
    times = np.array([crowd.frame_ms for crowd in crowds])
    slope, base = np.polyfit(faces, times, 1).tolist()
    worst = float(np.abs(times - (base + slope * faces)).max())
    alone = (statistics.median(classify_ms), statistics.median(follow_ms or [0.0]))
    return Growth(*(round(value, 2) for value in (slope, base, worst, *alone)))


def _before_first(images: Sequence[Image], count: int) -> Iterable[Image]:
    """The frames that lead up to the first one, so that no face jumps where the timing begins."""
    return reversed(images[1 : count + 1])
