"""The runtime at the rate of a camera: frames come at their rate, whether or not the runtime is fast enough.

    source --Watch--> Camera --> Pipeline --> Probe

The whole pipeline runs as in `edge-fer run`; a sink of the benchmark notes the time of each reading.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_fer.bench.monitor import BenchMonitor
from edge_fer.bench.records import Live, Resources, WarmUp, percentiles
from edge_fer.bench.resources import cpu_seconds, peak_rss_mb
from edge_fer.bench.source import Scene, Watch
from edge_fer.common.sensors import temperatures
from edge_fer.common.text import redact
from edge_fer.errors import SourceError
from edge_fer.expression import ExpressionModel
from edge_fer.faces.detectors import Detector
from edge_fer.pipeline import Pipeline
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record, StageTime
from edge_fer.types import Image

PATIENCE_S = 30.0
"""How much longer than its length a live run may take: the first search of a slow board takes seconds."""
_BESIDE = ("classify", "detect")  # stages with a thread of their own


@dataclass(frozen=True, slots=True)
class Length:
    """How long a live run is.

    Attributes:
        warm_up_s: time from the first reading that is not measured, seconds.
        seconds: time that is measured, seconds.
    """

    warm_up_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured between the warm-up and the end.

    Attributes:
        warm_up: figures of the warm-up.
        began_ns: when the last reading of the warm-up was published, CLOCK_MONOTONIC.
        published_ns: when each reading was published, CLOCK_MONOTONIC.
        readings: the readings, one or more.
        dropped: frames that were dropped.
        cpu_s: processor time of this process and its children, seconds.
        stages: latency by stage.
        passes: how often each stage ran.
        stage_s: total time of each stage, seconds.
    """

    warm_up: WarmUp
    began_ns: int
    published_ns: tuple[int, ...]
    readings: tuple[Reading, ...]
    dropped: int
    cpu_s: float
    stages: dict[str, StageTime]
    passes: dict[str, int]
    stage_s: dict[str, float]

    @property
    def seconds(self) -> float:
        """Time from the last reading of the warm-up to the last reading, seconds."""
        return (self.published_ns[-1] - self.began_ns) / 1e9


class Probe(Sink):
    """A sink that notes when each reading comes, leaves out the warm-up, and ends the run after its length.

    Args:
        length: length of the run.
        monitor: the run's monitor; it forgets the warm-up.
        stopping: set at the end.
        progress: receives the part that is done, 0..1.
        clock: CLOCK_MONOTONIC, nanoseconds.
        cpu: processor time so far, seconds.

    Attributes:
        window: what was measured; None until the length is reached.
    """

    name = "probe"

    def __init__(
        self,
        length: Length,
        monitor: BenchMonitor,
        stopping: threading.Event,
        progress: Callable[[float], None],
        clock: Callable[[], int] = time.monotonic_ns,
        cpu: Callable[[], float] = lambda: cpu_seconds(os.getpid()),
    ) -> None:
        self.window: Window | None = None
        self._length, self._monitor, self._stopping = length, monitor, stopping
        self._progress, self._clock, self._cpu = progress, clock, cpu
        self._started_ns = clock()
        self._taken: list[tuple[int, Reading]] = []
        self._warm_up: WarmUp | None = None
        self._before: tuple[int, Reading] | None = None
        self._cpu_before = 0.0

    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record; see `edge_fer.publish.Sink.publish`."""
        now_ns = self._clock()
        if not isinstance(record, Reading) or self.window is not None:
            return
        self._taken.append((now_ns, record))
        first_ns = self._before[0] if self._before else self._taken[0][0]
        elapsed_s = (now_ns - first_ns) / 1e9
        if self._warm_up is None:
            if elapsed_s >= self._length.warm_up_s:
                self._begin()
            return
        self._progress(min(elapsed_s / self._length.seconds, 1.0))
        if elapsed_s >= self._length.seconds:
            self.window = self._measured()
            self._stopping.set()

    def _begin(self) -> None:
        """End the warm-up: from here on readings are measured."""
        ways_ms = [(now_ns - reading.captured_ns) / 1e6 for now_ns, reading in self._taken]
        self._before = self._taken[-1]
        seconds = (self._before[0] - self._started_ns) / 1e9
        self._warm_up = WarmUp(len(self._taken), round(seconds, 2), round(max(ways_ms), 1))
        self._taken = []
        self._monitor.forget()
        self._cpu_before = self._cpu()

    def _measured(self) -> Window:
        assert self._warm_up is not None
        assert self._before is not None
        moments, readings = zip(*self._taken, strict=True)
        return Window(
            self._warm_up,
            self._before[0],
            moments,
            readings,
            readings[-1].dropped - self._before[1].dropped,
            self._cpu() - self._cpu_before,
            self._monitor.stage_times(),
            dict(self._monitor.passes),
            dict(self._monitor.seconds),
        )


def run_live(
    scene: Scene,
    length: Length,
    progress: Callable[[float], None],
    monitor: BenchMonitor | None = None,
    model: ExpressionModel | None = None,
    patience_s: float = PATIENCE_S,
    detector: Detector | None = None,
) -> Live:
    """Run the pipeline with a source that has the pace of a camera.

    Args:
        scene: the source.
        length: length of the run.
        progress: receives the part that is done, 0..1.
        monitor: times the stages; None: a new one that stretches nothing.
        model: reads expressions, and is closed with the run; None: the one that the settings name.
        patience_s: how much longer than its length the run may take, seconds.
        detector: finds faces, and is closed with the run; None: the one that the settings name.

    Raises:
        SourceError: when the source gives too few frames.
        EdgeFerError: when the run fails.
    """
    capture = scene.settings.capture.model_copy(update={"realtime": True})
    paced = scene.settings.model_copy(update={"capture": capture})
    watch, stopping, monitor = Watch(scene.opener), threading.Event(), monitor or BenchMonitor()
    probe = Probe(length, monitor, stopping, progress)
    source = redact(paced.capture.source)
    with Pipeline(paced, [probe], stopping, monitor, model, watch.open, detector=detector) as pipeline:
        pipeline.run(duration_s=length.warm_up_s + length.seconds + patience_s)
        memory_mb = peak_rss_mb(os.getpid())
    if (window := probe.window) is None:
        raise SourceError(
            f"expected frames for {length.warm_up_s + length.seconds:g} s from {source}, found fewer; "
            "check that the camera goes on"
        )
    cpu_percent = round(100 * window.cpu_s / window.seconds, 1)
    resources = Resources(cpu_percent, round(memory_mb, 1), round(scene.frames_mb, 1), temperatures())
    gap_ms = watch.longest_gap_ms(window.began_ns, window.published_ns[-1])
    beside = _BESIDE if paced.keyframe.enabled else _BESIDE[:1]
    return summarise(window, source, gap_ms, resources, beside)


def summarise(window: Window, source: str, gap_ms: float, resources: Resources, beside: Sequence[str]) -> Live:
    """Figures of a live run.

    Args:
        window: what was measured.
        source: name of the source.
        gap_ms: longest time between two frames of the source, milliseconds.
        resources: processor time and memory of the run.
        beside: stages that have their own threads.
    """
    readings, count = window.readings, len(window.readings)
    faces = [face for reading in readings for face in reading.faces]
    ages = [face.label_age_ms for face in faces if face.label_age_ms is not None]
    ways_ms = [(at - it.captured_ns) / 1e6 for at, it in zip(window.published_ns, readings, strict=True)]
    intervals = np.diff([window.began_ns, *window.published_ns]) / 1e6
    finding_s = sum(seconds for name, seconds in window.stage_s.items() if name not in beside)
    return Live(
        source=source,
        seconds=round(window.seconds, 2),
        readings=count,
        fps=round(count / window.seconds, 2),
        captured_fps=round(_captured_fps(readings), 2),
        longest_gap_ms=round(gap_ms, 1),
        dropped=window.dropped,
        faces=round(len(faces) / count, 2),
        labels_per_s=round(window.passes.get("classify", 0) / window.seconds, 2),
        latency_ms=percentiles(ways_ms),
        jitter_ms=percentiles(np.abs(intervals - np.median(intervals)).tolist()).p99,
        label_age_ms=percentiles(ages) if ages else None,
        find_ms=round(1e3 * finding_s / count, 2),
        stages=window.stages,
        warm_up=window.warm_up,
        resources=resources,
    )


def _captured_fps(readings: Sequence[Reading]) -> float:
    """Frame rate of the camera, Hz, dropped frames included; 0 with fewer than two readings."""
    first, last = readings[0], readings[-1]
    if last.captured_ns == first.captured_ns:
        return 0.0
    return (last.frame - first.frame) / (last.captured_ns - first.captured_ns) * 1e9
