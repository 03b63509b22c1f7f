"""The speed of the runtime and of its baselines over the same decoded frames, in one run.

Contenders take turns, so that other work of the machine slows all of them, and ratios are formed within a turn. Only
the time from a decoded frame to its labels is measured.
The recognizer gives OpenCV one thread, and baselines in the same process run under that, too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_fer.bench.monitor import BenchMonitor
from edge_fer.bench.records import Comparison, Progress, Result
from edge_fer.common.closeable import Closeable
from edge_fer.errors import ConfigError
from edge_fer.faces.detectors import Detector
from edge_fer.inference.model_store import ModelStore
from edge_fer.recognizer import Recognizer
from edge_fer.schema import StageTime
from edge_fer.settings import Settings
from edge_fer.types import Frame, Image

Times = NDArray[np.float64]

DETECTORS = {
    "mtcnn": {"kind": "mtcnn", "backend": "auto", "labels": "classifier"},
    "yolo": {"kind": "yolo", "labels": "classifier"},
    "yolo-own": {"kind": "yolo", "labels": "own"},
}
"""What the settings of the detector are changed to, by the name of what is compared with."""

_INSTALL = "baselines come with pip install '.[lab]' in its checkout"


class Contender(Protocol):
    """Something that finds and labels the faces of a picture.

    Attributes:
        name: name in the table.
        min_face: side of the smallest face that it finds, pixels.
    """

    name: str
    min_face: int

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        """Find and label the faces of each picture.

        Args:
            images: the pictures, each `(height, width, 3)` uint8, BGR.

        Yields:
            The number of faces in each picture, in order.
        """
        ...

    def close(self) -> None:
        """Free its networks."""
        ...


class Runtime(Closeable):
    """The runtime itself, from a decoded frame to its labels; the next frame begins meanwhile.

    Args:
        settings: the runtime's settings.
        fps: frame rate of the source, Hz; it decides which frames are searched.
        name: name in the table.
        detector: finds faces, and is closed with the runtime; None: the one that the settings name.

    Attributes:
        monitor: times the stages.
        recognizer: finds the faces and their expressions; it is closed with the runtime.
    """

    def __init__(
        self, settings: Settings, fps: float, name: str = "edge-fer", detector: Detector | None = None
    ) -> None:
        self.name = name
        self.monitor = BenchMonitor()
        self.recognizer = Recognizer(settings, self.monitor.stage, detector=detector)
        self._frames, self._period_ns = 0, 1e9 / fps
        self.min_face = settings.detect.min_face

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        """See `Contender.read`."""
        return (len(found.faces) for found in self.recognizer.read(map(self._frame, images)))

    def warm_up(self, images: Iterable[Image]) -> None:
        """Read pictures that are not timed."""
        read_all(self, images)
        self.monitor.forget()

    def stage_times(self) -> dict[str, StageTime]:
        """Latency by stage, since the warm-up."""
        return self.monitor.stage_times()

    def _frame(self, image: Image) -> Frame:
        self._frames += 1
        return Frame(self._frames, image, time.monotonic_ns(), time.time(), round(self._frames * self._period_ns))

    def close(self) -> None:
        """See `Contender.close`."""
        self.recognizer.close()


def run_comparison(
    settings: Settings,
    against: Sequence[str],
    frames: Sequence[Image],
    fps: float,
    turns: int,
    warm_up: int,
    progress: Progress,
) -> Comparison:
    """Measure the runtime as fast as it goes, and baselines beside it.

    Args:
        settings: the runtime's settings.
        against: names of baselines, or of other models or detectors that the runtime may use.
        frames: the frames, each `(height, width, 3)` uint8, BGR.
        fps: frame rate of the source, Hz.
        turns: how often each contender goes through all frames.
        warm_up: frames that each contender reads before it is timed.
        progress: receives the current step and its progress.

    Raises:
        ConfigError: when there is no baseline of such a name.
    """
    with ExitStack() as stack:
        runtime = stack.enter_context(Runtime(settings, fps))
        baselines = [stack.enter_context(closing(open_one())) for open_one in find_rivals(settings, against, fps)]
        progress("warming up", 0.0)
        warm = [frames[index % len(frames)] for index in range(warm_up)]
        for baseline in baselines:
            read_all(baseline, warm)
        runtime.warm_up(warm)
        results = compete([runtime, *baselines], frames, turns, progress)
        height, width = frames[0].shape[:2]
        return Comparison(len(frames), (width, height), turns, warm_up, results, runtime.stage_times())


def find_rivals(settings: Settings, names: Sequence[str], fps: float = 0.0) -> list[Callable[[], Contender]]:
    """Find what the runtime is compared with, ready to be opened: itself otherwise, then baselines.

    Args:
        settings: the runtime's settings.
        names: names of models, of `DETECTORS`, or of the entry points `edge_fer.baselines`.
        fps: frame rate of the source, Hz.

    Raises:
        ConfigError: when there is none of a name, or a library that a baseline needs is missing.
        ModelError: when there is no network for a detector.
    """
    store = ModelStore(settings.models) if names else None
    known = (*DETECTORS, *store.expression_models) if store else ()
    others = [name for name in names if name in known]
    rivals = {name: changed(settings, name) for name in others}
    for one in rivals.values():
        if store and one.detect.kind == "yolo":
            store.spec(one.detect.model, "detect")  # at once, not after the others were measured
    return [
        *(partial(Runtime, one, fps, f"edge-fer, {name}") for name, one in rivals.items()),
        *find_baselines([name for name in names if name not in known], known),
    ]


def changed(settings: Settings, name: str) -> Settings:
    """Settings with another detector, one of `DETECTORS`, or another model, by its name."""
    if name in DETECTORS:
        return settings.model_copy(update={"detect": settings.detect.model_copy(update=DETECTORS[name])})
    return settings.model_copy(update={"classify": settings.classify.model_copy(update={"model": name})})


def find_baselines(names: Sequence[str], models: Iterable[str] = ()) -> list[Callable[[], Contender]]:
    """Find baselines by name, ready to be opened.

    The class of a baseline lists in `needs` the libraries that it will import.

    Args:
        names: names of the entry points `edge_fer.baselines`.
        models: what else could be compared with, for the message.

    Raises:
        ConfigError: when there is none of that name, or a library that it needs is missing.
    """
    known = {entry.name: entry for entry in entry_points(group="edge_fer.baselines")}
    for name in names:
        if name not in known:
            there = ", ".join([*known, *models]) or "none installed"
            raise ConfigError(f"expected a baseline, a detector or a model out of {there}, found `{name}`; {_INSTALL}")
    found = [known[name].load() for name in names]
    for name, baseline in zip(names, found, strict=True):
        missing = [library for library in baseline.needs if find_spec(library) is None]
        if missing:
            raise ConfigError(f"the baseline `{name}` needs {', '.join(missing)}, which is not there; {_INSTALL}")
    return found


def read_all(contender: Contender, images: Iterable[Image]) -> int:
    """Let a contender read pictures; the number of faces in all of them."""
    return sum(contender.read(images))


def compete(
    contenders: Sequence[Contender],
    frames: Sequence[Image],
    turns: int,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Result, ...]:
    """Let contenders take turns over the same frames.

    Args:
        contenders: the contenders after their warm-up; the first is the runtime, the measure of all.
        frames: the frames, each `(height, width, 3)` uint8, BGR.
        turns: how often each contender goes through all frames.
        progress: receives the current step and its progress.
        clock: a clock in seconds.
    """
    seconds = {contender.name: np.zeros((turns, len(frames))) for contender in contenders}
    faces = dict.fromkeys(seconds, 0)
    for turn in range(turns):
        for place, contender in enumerate(contenders):
            done = (turn * len(contenders) + place) / (turns * len(contenders))
            progress(f"turn {turn + 1} of {turns}: {contender.name}", done)
            faces[contender.name] = 0
            before = clock()
            for index, found in enumerate(contender.read(frames)):
                faces[contender.name] += found
                now = clock()
                seconds[contender.name][turn, index] = now - before
                before = now
    runtime = seconds[contenders[0].name].sum(axis=1)
    return tuple(_result(one, seconds[one.name], faces[one.name], runtime) for one in contenders)


def _result(contender: Contender, seconds: Times, faces: int, runtime: Times) -> Result:
    p50, p95, p99 = (round(value * 1e3, 2) for value in np.percentile(seconds, (50, 95, 99)).tolist())
    fps = seconds.shape[1] / seconds.sum(axis=1)
    speedup = seconds.sum(axis=1) / runtime
    return Result(
        contender.name,
        contender.min_face,
        faces,
        p50,
        p95,
        p99,
        round(statistics.median(fps.tolist()), 2),
        (round(float(fps.min()), 2), round(float(fps.max()), 2)),
        round(statistics.median(speedup.tolist()), 2),
        (round(float(speedup.min()), 2), round(float(speedup.max()), 2)),
    )
