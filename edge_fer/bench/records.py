"""The results of a benchmark, as records; tables, plots and files are made from them."""

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
"""Receives the current step, and the part of it that is done, 0..1."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The values that 50, 95 and 99 % of all values do not exceed, milliseconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The time before the measurement, which is in no other figure.

    Attributes:
        frames: number of readings.
        seconds: time from the start, with networks loaded, to the first reading that is measured, seconds.
        slowest_ms: longest time of a reading from capture to publishing, milliseconds.
    """

    frames: int
    seconds: float
    slowest_ms: float


@dataclass(frozen=True, slots=True)
class Resources:
    """Processor time and memory of a run.

    Attributes:
        cpu_percent: processor time of this process and its children, percent of one core.
        rss_mb: peak of resident memory since the process began, with its children's, MB (10^6 bytes).
        frames_mb: the part of it that holds the benchmark's own decoded frames, MB.
        temperatures: temperatures at the end, degrees Celsius by sensor; empty where there is no sensor.
    """

    cpu_percent: float
    rss_mb: float
    frames_mb: float
    temperatures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Live:
    """A run with frames at the rate of a camera.

    Attributes:
        source: name of the source.
        seconds: time that was measured, seconds.
        readings: number of readings that were published in that time.
        fps: readings a second.
        captured_fps: frames a second that the camera thread took from the source.
        longest_gap_ms: longest time between two frames of the source, milliseconds.
        dropped: frames that were overwritten before they were processed.
        faces: mean number of faces in a reading.
        labels_per_s: faces that were classified a second.
        latency_ms: time from capture to publishing.
        jitter_ms: 99 % of the intervals between two readings differ from the median by at most this, milliseconds.
        label_age_ms: time from the capture of a label's picture to its publishing; None where no face had a label.
        find_ms: mean time of a frame in the thread that finds faces, in all stages but the classification,
            milliseconds.
        stages: times of the stages, in the order in which a frame passes them.
        warm_up: figures of the warm-up.
        resources: processor time and memory.
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
    """The figures of one contender over all turns.

    Attributes:
        name: name of the contender.
        min_face: side of the smallest face that it finds, pixels.
        faces: faces that were found in all frames of one turn.
        p50_ms: median time from the labels of one frame to those of the next, milliseconds.
        p95_ms: time that 95 % of the frames did not exceed, milliseconds.
        p99_ms: time that 99 % of the frames did not exceed, milliseconds.
        fps: frames a second, median over the turns.
        fps_spread: smallest and largest `fps` of a turn.
        speedup: how many times as fast the runtime is as this contender, median over the turns.
        speedup_spread: smallest and largest `speedup` of a turn.
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
        frames: number of frames in a turn.
        size: width and height of the frames, pixels.
        turns: how often each contender read all frames.
        warm_up: frames that each contender read before it was timed.
        results: figures of the contenders, the runtime first.
        stages: times of the runtime's stages, over all its turns.
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
        faces: number of faces in the frames.
        found: mean number of faces that were found in a frame.
        frame_ms: time of a frame with every face classified, as fast as it goes, median over the turns, milliseconds.
        spread_ms: smallest and largest `frame_ms` of a turn.
        live: the same crowd at the rate of a camera.
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
        slope_ms: time that each face adds, milliseconds.
        base_ms: time of a frame without a face, milliseconds.
        worst_ms: largest distance of a crowd from the line, milliseconds.
        classify_ms: median time of one classification alone in the same run, milliseconds.
        follow_ms: median time of following one face alone in the same run, milliseconds; 0 without a follower.
    """

    slope_ms: float
    base_ms: float
    worst_ms: float
    classify_ms: float
    follow_ms: float

    def at(self, faces: float) -> float:
        """The time of a frame with a number of faces, by the line, milliseconds."""
        return self.base_ms + self.slope_ms * faces


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction: a live run with a simulated accelerator and slowed stages on the processor.

    Attributes:
        live: the run as it would be on the board.
        binding: what limits the rate.
        bound: the limit: labels a second for the accelerator, frames a second for the others.
        reached: the rate that was reached, in the unit of `bound`.
        share: `reached` / `bound`.
        accelerator_bound: labels a second if the accelerator never had to wait.
        processor_bound: frames a second if the thread that finds faces never had to wait.
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
    """Predictions for a board, one for each source or crowd, and detector.

    Attributes:
        profile: the board.
        predictions: see above.
        detector_on_accelerator: whether a detector of these runs on the accelerator.
    """

    profile: Profile
    predictions: tuple[Prediction, ...]
    detector_on_accelerator: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A benchmark and the machine it was run on; parts that were not asked for are None or empty.

    Attributes:
        schema: name and version of this record; later versions only add fields.
        board: name of the machine, by which references are kept; see `edge_fer.common.machine.board`.
        machine: facts about the machine.
        source: name of the source.
        networks: names of the detector's networks, as the settings or a measurement chose them.
        governor: the governor of the processor's clock; None where it is not known.
        live: the live run.
        comparison: the comparison over decoded frames.
        crowds: the crowds, in the order that was asked for.
        growth: how the time grows over the crowds.
        simulation: predictions for a board.
        advice: what to type for steadier figures; None where nothing helps.
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
    """Percentiles of one or more values in milliseconds, rounded to a hundredth."""
    p50, p95, p99 = np.percentile(list(values), (50, 95, 99)).tolist()
    return Percentiles(round(p50, 2), round(p95, 2), round(p99, 2))
