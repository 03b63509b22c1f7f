"""How fast, against what: the runtime and its baselines over the same decoded frames, in one run.

Contenders take turns, so that whatever else the machine does hits all of them, and ratios are
formed within a turn. Nothing is timed but the way from a decoded frame to its labels.
The pipeline gives OpenCV one thread, and baselines in the same process run under that, too.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from edge_fer.backends.cameras import open_source, redact
from edge_fer.errors import ConfigError
from edge_fer.pipeline import Pipeline
from edge_fer.resize import fit
from edge_fer.settings import CaptureSettings, Settings
from edge_fer.types import Frame, Image

Times = NDArray[np.float64]

_WARM_UP_FRAMES = 5
_USUAL_FPS = 30.0


class Contender(Protocol):
    """Something that finds and labels the faces of a picture.

    Attributes:
        name: for the table.
        min_face: the smallest face it looks for, pixels.
    """

    name: str
    min_face: int

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        """Find and label the faces of each `(height, width, 3)` uint8 BGR picture; how many there are, in order."""
        ...

    def close(self) -> None:
        """Free its networks."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What one contender did in all turns.

    Attributes:
        name: of the contender.
        min_face: the smallest face it looked for, pixels.
        faces: found in all frames of one turn.
        p50_ms: median time from one frame's labels to the next one's.
        p95_ms: time that 95 % of the frames stayed below.
        fps: median over the turns of frames a second.
        fps_spread: smallest and largest.
        speedup: of the runtime over this contender; median over the turns.
        speedup_spread: smallest and largest.
    """

    name: str
    min_face: int
    faces: int
    p50_ms: float
    p95_ms: float
    fps: float
    fps_spread: tuple[float, float]
    speedup: float
    speedup_spread: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Report:
    """A benchmark and the machine it was run on."""

    machine: dict[str, str]
    source: str
    frames: int
    size: tuple[int, int]
    turns: int
    results: tuple[Result, ...]

    def to_json(self) -> str:
        """The whole report, indented."""
        return TypeAdapter(Report).dump_json(self, indent=2).decode()


class Runtime:
    """The runtime itself, from a decoded frame to its reading; it begins with the next frame meanwhile.

    Args:
        settings: of the run.
        fps: rate of the source, frames a second: what is searched and what is followed goes by it.
    """

    name = "edge-fer"

    def __init__(self, settings: Settings, fps: float) -> None:
        self._pipeline = Pipeline(settings)
        self._frames, self._period_ns = 0, 1e9 / fps
        self.min_face = settings.detect.min_face

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        """See `Contender.read`."""
        return (len(reading.faces) for reading in self._pipeline.read(map(self._frame, images)))

    def _frame(self, image: Image) -> Frame:
        self._frames += 1
        return Frame(self._frames, image, time.monotonic_ns(), time.time(), round(self._frames * self._period_ns))

    def close(self) -> None:
        """See `Contender.close`."""
        self._pipeline.close()


def run_bench(
    settings: Settings, against: Sequence[str], frames: int, turns: int, size: int, progress: Callable[[str], None]
) -> Report:
    """Measure the runtime, and baselines beside it.

    Args:
        settings: of the runtime, and of the source of frames.
        against: names of baselines.
        frames: at most so many a turn.
        turns: how often each contender goes through all frames.
        size: long side that frames are shrunk to, pixels.
        progress: told what is going on.

    Raises:
        ConfigError: when there is no baseline of such a name.
        SourceError: when the source cannot be read.
    """
    images, fps = decode(settings.capture, frames, size)
    with ExitStack() as stack:
        contenders = [Runtime(settings, fps), *open_baselines(against)]
        for contender in contenders:
            stack.callback(contender.close)
        results = compete(contenders, images, turns, progress)
    height, width = images[0].shape[:2]
    return Report(machine(), redact(settings.capture.source), len(images), (width, height), turns, results)


def open_baselines(names: Sequence[str]) -> list[Contender]:
    """Load baselines by name.

    Raises:
        ConfigError: when there is none of that name.
    """
    known = {entry.name: entry for entry in entry_points(group="edge_fer.baselines")}
    for name in names:
        if name not in known:
            raise ConfigError(f"expected a baseline out of {', '.join(known) or 'none installed'}, found `{name}`")
    return [known[name].load()() for name in names]


def decode(settings: CaptureSettings, count: int, size: int) -> tuple[list[Image], float]:
    """The first frames of a source, before any clock runs, and its rate in frames a second (30 where it has none).

    Args:
        settings: of the source.
        count: at most so many frames.
        size: frames are shrunk to this long side, pixels.

    Raises:
        SourceError: when the source cannot be read.
    """
    frames: list[Image] = []
    with closing(open_source(settings)) as source:
        fps = source.fps or _USUAL_FPS
        while len(frames) < count and (taken := source.read()) is not None:
            frames.append(fit(taken[0], size))
    return frames, fps


def compete(
    contenders: Sequence[Contender],
    frames: Sequence[Image],
    turns: int,
    progress: Callable[[str], None],
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Result, ...]:
    """Let contenders take turns over the same frames.

    Args:
        contenders: the runtime first; speed-ups are its.
        frames: each `(height, width, 3)` uint8, BGR.
        turns: how often each goes through all frames.
        progress: told what is going on.
        clock: seconds.
    """
    for contender in contenders:
        progress(f"warming up {contender.name}")
        for _ in contender.read(frames[:_WARM_UP_FRAMES]):
            pass
    seconds = {contender.name: np.zeros((turns, len(frames))) for contender in contenders}
    faces = dict.fromkeys(seconds, 0)
    for turn in range(turns):
        for contender in contenders:
            progress(f"turn {turn + 1} of {turns}: {contender.name}")
            faces[contender.name] = 0
            before = clock()
            for index, found in enumerate(contender.read(frames)):
                faces[contender.name] += found
                now = clock()
                seconds[contender.name][turn, index] = now - before
                before = now
    runtime = seconds[contenders[0].name].sum(axis=1)
    return tuple(_result(one, seconds[one.name], faces[one.name], runtime) for one in contenders)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _result(contender: Contender, seconds: Times, faces: int, runtime: Times) -> Result:
    p50, p95 = np.percentile(seconds, (50, 95)) * 1e3
    fps = seconds.shape[1] / seconds.sum(axis=1)
    speedup = seconds.sum(axis=1) / runtime
    return Result(
        contender.name,
        contender.min_face,
        faces,
        round(float(p50), 2),
        round(float(p95), 2),
        round(statistics.median(fps.tolist()), 2),
        (round(float(fps.min()), 2), round(float(fps.max()), 2)),
        round(statistics.median(speedup.tolist()), 2),
        (round(float(speedup.min()), 2), round(float(speedup.max()), 2)),
    )


def _processor() -> str:
    """The processor's name, or the board's where the kernel knows no name (on Arm)."""
    for path, key in ((Path("/proc/cpuinfo"), "model name"), (Path("/proc/device-tree/model"), "")):
        if path.is_file():
            for line in path.read_text(errors="replace").splitlines():
                if line.startswith(key):
                    return line.rpartition(":")[2].strip(" \t\0")
    return platform.processor() or platform.machine()
