"""What bought what: the published pipeline, and the runtime with one more of its steps at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from typing import Any

from edge_fer.bench.compare import Contender, Runtime, compete, read_all
from edge_fer.bench.monitor import BenchMonitor
from edge_fer.bench.records import Progress, Result
from edge_fer.lab.realtime.baseline import MIN_FACE, Plain, PlainLiteRT
from edge_fer.settings import Settings
from edge_fer.status.monitor import STAGES
from edge_fer.types import Image

_WARM_UP = 10  # frames


@dataclass(frozen=True, slots=True)
class Step:
    """One way of reading the same frames.

    Attributes:
        result: how fast it is; its speed-up is of the whole runtime over this step.
        stages: time a frame in each stage, milliseconds on average; what runs side by side adds up to more than a
            frame takes.
    """

    result: Result
    stages: dict[str, float]


class _Runtime(Runtime):
    """The runtime with some of its steps, by a name of its own."""

    def __init__(self, name: str, settings: Settings, fps: float, *, overlap: bool) -> None:
        super().__init__(settings, fps)
        self.name, self._overlap = name, overlap

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        """One picture after the other, unless they overlap: the next one is then searched meanwhile."""
        if self._overlap:
            yield from super().read(images)
        else:
            for image in images:
                yield from super().read([image])


def measure(settings: Settings, frames: Sequence[Image], fps: float, turns: int, progress: Progress) -> list[Step]:
    """Let every step take turns over the same frames.

    Args:
        settings: settings of the whole runtime.
        frames: each `(height, width, 3)` uint8, BGR.
        fps: rate at which they were taken, frames a second.
        turns: how often each goes through them.
        progress: called with a sentence about each part.

    Returns:
        The steps, the published pipeline first and the whole runtime last.
    """
    with ExitStack() as stack:
        timed = [(stack.enter_context(closing(step)), monitor) for step, monitor in _steps(settings, fps)]
        for step, monitor in timed:
            progress(f"warming up {step.name}", 0.0)
            read_all(step, frames[:_WARM_UP])
            monitor.forget()
        results = compete([step for step, _ in timed[::-1]], frames, turns, progress)[::-1]
        count = turns * len(frames)
        return [Step(result, _means(monitor, count)) for result, (_, monitor) in zip(results, timed, strict=True)]


def _steps(settings: Settings, fps: float) -> Iterator[tuple[Contender, BenchMonitor]]:
    """Each has what the one before has, and one thing more; with the monitor that times its stages."""
    alike = settings.detect.model_copy(update={"min_face": MIN_FACE})
    every = settings.keyframe.model_copy(update={"enabled": False})
    raw = settings.smooth.model_copy(update={"enabled": False})
    followed = settings.model_copy(update={"detect": alike, "smooth": raw})
    searched = followed.model_copy(update={"keyframe": every})
    smoothed = followed.model_copy(update={"smooth": settings.smooth})
    monitor = BenchMonitor()
    yield Plain(monitor=monitor), monitor
    monitor = BenchMonitor()
    yield PlainLiteRT(monitor=monitor), monitor
    for name, some, overlap in (
        ("P-Net in one inference", searched, False),
        ("following between key frames", followed, False),
        ("overlap", followed, True),
        ("smoothing", smoothed, True),
        (f"faces from {settings.detect.min_face} pixels: the defaults", settings, True),
    ):
        runtime = _Runtime(name, some, fps, overlap=overlap)
        yield runtime, runtime.monitor


def _means(monitor: BenchMonitor, frames: int) -> dict[str, float]:
    return {name: round(monitor.seconds[name] / frames * 1e3, 2) for name in STAGES if name in monitor.seconds}


def to_markdown(steps: Sequence[Step]) -> str:
    """A table: the steps, and what each stage takes a frame."""
    shown = [name for name in STAGES if any(name in step.stages for step in steps)]
    slowest = steps[0].result.fps
    rows = [["", *shown, "a frame", "FPS", f"times {steps[0].result.name}"], ["---", *["---:"] * (len(shown) + 3)]]
    for step in steps:
        stages = [f"{step.stages[name]:.1f}" if name in step.stages else "" for name in shown]
        fps = step.result.fps
        rows.append([step.result.name, *stages, f"{1e3 / fps:.1f}", f"{fps:.1f}", f"{fps / slowest:.1f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def to_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Every figure."""
    return [asdict(step) for step in steps]
