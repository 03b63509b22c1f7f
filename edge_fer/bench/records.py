"""What a benchmark measured: the records that its parts make, and that tables, plots and files are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import TypeAdapter

from edge_fer.common.machine import Profile
from edge_fer.schema import StageTime

Binding = Literal["accelerator", "processor", "camera"]
Progress = Callable[[str, float], None]
"""Told what is going on, and how much of that is done, 0..1."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Half, 95 and 99 % of all values are no larger; milliseconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What came before the clock counted, and is in no other figure.

    Attributes:
        frames: how many readings.
        seconds: from the start, networks loaded, to the first reading that counts.
        slowest_ms: the longest way of one of them from capture to publishing, milliseconds.
    """

    frames: int
    seconds: float
    slowest_ms: float


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run took.

    Attributes:
        cpu_percent: processor time of this process and its children; 100 is one core.
        rss_mb: peak of resident memory since the process began, with its children's, MB (10^6 bytes).
        frames_mb: of that, frames that the benchmark itself held ready, MB.
        temperatures: at the end, degrees Celsius by sensor; empty where there is none.
    """

    cpu_percent: float
    rss_mb: float
    frames_mb: float
    temperatures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Live:
    """A run that was given frames at the rate of a camera.

    Attributes:
        source: name of it.
        seconds: that were measured.
        readings: published in that time.
        fps: of them a second.
        captured_fps: frames a second that the camera thread took from the source.
        longest_gap_ms: between two frames that it took.
        dropped: frames that were overwritten before anybody looked at them.
        faces: in a reading, on average.
        labels_per_s: faces that were read a second.
        latency_ms: from capture to publishing.
        jitter_ms: 99 % of the intervals between two readings differ from the median interval by no more.
        label_age_ms: from a label's picture to its publishing; null where no face had a label.
        find_ms: what all stages but the reading took of the thread that finds faces, a frame, on average.
        stages: in the order of the frame's way.
        warm_up: what came before.
        resources: what it took.
    """

    source: str
    seconds: float
    readings: int
    fps: float
    captured_fps: float
    longest_gap_ms: float
    dropped: int
    faces: float
    labels_per_s: float
    latency_ms: Percentiles
    jitter_ms: float
    label_age_ms: Percentiles | None
    find_ms: float
    stages: dict[str, StageTime]
    warm_up: WarmUp
    resources: Resources


@dataclass(frozen=True, slots=True)
class Result:
    """What one contender did in all turns.

    Attributes:
        name: of the contender.
        min_face: the smallest face it looked for, pixels.
        faces: found in all frames of one turn.
        p50_ms: median time from one frame's labels to the next one's.
        p95_ms: time that 95 % of the frames stayed below.
        p99_ms: time that 99 % of the frames stayed below.
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
    p99_ms: float
    fps: float
    fps_spread: tuple[float, float]
    speedup: float
    speedup_spread: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Contenders that took turns over the same decoded frames, each as fast as it goes.

    Attributes:
        frames: a turn.
        size: width and height of the frames, pixels.
        turns: how often each went through them.
        warm_up: frames that each read before, which count for nothing.
        results: the runtime first.
        stages: of the runtime, over all its turns.
    """

    frames: int
    size: tuple[int, int]
    turns: int
    warm_up: int
    results: tuple[Result, ...]
    stages: dict[str, StageTime]


@dataclass(frozen=True, slots=True)
class Crowd:
    """The same number of faces in every frame.

    Attributes:
        faces: how many there are.
        found: in a frame, on average.
        frame_ms: time a frame, every face read, as fast as it goes; median over the turns.
        spread_ms: smallest and largest.
        live: the same crowd before a camera.
    """

    faces: int
    found: float
    frame_ms: float
    spread_ms: tuple[float, float]
    live: Live


@dataclass(frozen=True, slots=True)
class Growth:
    """How the time of a frame grows with the faces: a line of least squares through the crowds.

    Attributes:
        slope_ms: a face.
        base_ms: without a face.
        worst_ms: largest distance of a crowd from the line.
        classify_ms: one classification alone, measured in the same run; median.
        follow_ms: one pass of O-Net alone, measured in the same run; median.
    """

    slope_ms: float
    base_ms: float
    worst_ms: float
    classify_ms: float
    follow_ms: float

    def at(self, faces: float) -> float:
        """What the line says of so many faces, milliseconds a frame."""
        return self.base_ms + self.slope_ms * faces


@dataclass(frozen=True, slots=True)
class Prediction:
    """A live run beside a simulated accelerator, with the processor's stages stretched: a prediction.

    Attributes:
        live: as it would be on the board.
        binding: what holds it up.
        bound: what that allows: labels a second of the accelerator, frames a second of the others.
        reached: of the bound.
        share: `reached` / `bound`.
        accelerator_bound: labels a second, if it never had to wait.
        processor_bound: frames a second, if the thread that finds faces never had to wait.
    """

    live: Live
    binding: Binding
    bound: float
    reached: float
    share: float
    accelerator_bound: float
    processor_bound: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """A board that is not there: predictions, one for each source or crowd."""

    profile: Profile
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A benchmark and the machine it was run on; parts that were not asked for are null or empty.

    Attributes:
        schema: name and version of this record; later versions only add fields.
        board: what references are kept by; see `edge_fer.common.machine.board`.
        machine: facts of it.
        source: of the frames.
        networks: the detector's, as the settings or their own speed here chose them.
        governor: what sets the processor's clock; null where nothing tells.
        live: of the source.
        comparison: over decoded frames of the source.
        crowds: in the order that was asked for.
        growth: over the crowds.
        simulation: of a board.
        advice: what to type for figures that do not waver; null where nothing helps.
    """

    board: str
    machine: dict[str, str]
    source: str
    networks: tuple[str, ...]
    governor: str | None = None
    live: Live | None = None
    comparison: Comparison | None = None
    crowds: tuple[Crowd, ...] = ()
    growth: Growth | None = None
    simulation: Simulation | None = None
    advice: str | None = None
    schema: Literal["edge-fer/bench/1"] = "edge-fer/bench/1"

    def to_json(self) -> str:
        """The whole report, indented."""
        return TypeAdapter(Report).dump_json(self, indent=2).decode()


def percentiles(values: Iterable[float]) -> Percentiles:
    """Of at least one value, to a hundredth."""
    p50, p95, p99 = np.percentile(list(values), (50, 95, 99)).tolist()
    return Percentiles(round(p50, 2), round(p95, 2), round(p99, 2))
