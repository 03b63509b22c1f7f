"""How the time of a frame grows with the faces in it: crowds of synthetic faces, read by turns in one run."""

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
from edge_fer.types import AlignedFace, Box, Image

_WARM_UP_FRAMES = 10  # after a change of crowds: a face counts once it was seen a few times
_UNIT_PASSES = 5  # of each network alone, a turn
_FACE = Box(200.0, 200.0, 160.0, 160.0)  # of a network, what is in the picture costs nothing

Clock = Callable[[], float]


class Turn(NamedTuple):
    """One pass through the frames of a crowd: milliseconds a frame, and faces that were found in each."""

    frame_ms: float
    found: float


class Units(Closeable):
    """The two networks that every face passes, each alone.

    Args:
        settings: of the run.
        model: reads expressions in this run, but none meanwhile; it stays open.
        clock: seconds.

    Attributes:
        classify_ms: of each classification.
        follow_ms: of each pass of O-Net.
    """

    def __init__(self, settings: Settings, model: ExpressionModel, clock: Clock = time.perf_counter) -> None:
        self.classify_ms: list[float] = []
        self.follow_ms: list[float] = []
        self._model, self._clock = model, clock
        self._follower = open_follower(settings.detect, settings.track, ModelStore(settings.models))
        self._face = AlignedFace.of_crop(np.zeros((model.size, model.size), np.uint8))
        model.classify(self._face)  # the first pass of a network is the slowest

    def measure(self, image: Image) -> None:
        """Time both a few times more, by turns, the second on a picture `(height, width, 3)` uint8, BGR."""
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
        """Free O-Net."""
        if self._follower is not None:
            self._follower.close()


def run_crowds(
    settings: Settings, crowds: Sequence[int], frames: int, turns: int, length: Length, size: int, progress: Progress
) -> tuple[tuple[Crowd, ...], Growth | None]:
    """Measure crowds before a camera, and as fast as they go.

    Args:
        settings: of the run.
        crowds: how many faces each has.
        frames: of each crowd, a turn.
        turns: how often each is gone through.
        length: of each live run.
        size: frames are shrunk to this long side, pixels.
        progress: told what is going on.

    Returns:
        The crowds, and the line through them; null where those with a face are all of one size.

    Raises:
        EdgeFerError: whatever ends a run.
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
    """Let crowds take turns, with the networks alone in between.

    Args:
        runtime: reads them.
        images: frames of each crowd, by its faces.
        turns: how often each is gone through.
        units: measured once a crowd and turn.
        progress: told what is going on.
        clock: seconds.
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
    """What one crowd cost."""
    times = [turn.frame_ms for turn in turns]
    return Crowd(
        faces,
        round(statistics.mean(turn.found for turn in turns), 2),
        round(statistics.median(times), 2),
        (round(min(times), 2), round(max(times), 2)),
        live,
    )


def growth(crowds: Sequence[Crowd], classify_ms: Sequence[float], follow_ms: Sequence[float]) -> Growth | None:
    """The line of least squares through the crowds; null where those with a face are all of one size.

    Frames without a face are left out: where none is followed, every frame is searched as a whole.

    Args:
        crowds: with their times.
        classify_ms: of classifications alone.
        follow_ms: of passes of O-Net alone.
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
    """So many frames that lead up to the first one, so that nothing jumps where the counting begins."""
    return reversed(images[1 : count + 1])
