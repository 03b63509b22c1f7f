"""What bought what: each step adds one thing, and the table tells what each stage takes a frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import pytest

from edge_fer.bench.compare import Runtime
from edge_fer.bench.monitor import BenchMonitor
from edge_fer.lab.realtime import ablation as steps
from edge_fer.settings import load_settings
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Image

SETTINGS = load_settings(environment={})


class Plain:
    """Stands for a baseline: finds a face in every frame, in no time."""

    min_face = 20

    def __init__(self, monitor: BenchMonitor) -> None:
        self.name, self._monitor = "plain", monitor

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        for _ in images:
            with self._monitor.stage("detect"):
                pass
            yield 1

    def close(self) -> None: ...


def test_each_step_adds_one_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, object, bool]] = []

    class Recorded:
        def __init__(self, name: str, settings: object, fps: float, *, overlap: bool) -> None:
            self.monitor = BenchMonitor()
            made.append((name, settings, overlap))

    monkeypatch.setattr(steps, "_Runtime", Recorded)
    monkeypatch.setattr(steps, "Plain", Plain)
    monkeypatch.setattr(steps, "PlainLiteRT", Plain)
    assert len(list(steps._steps(SETTINGS, 30.0))) == 7
    changed = []
    for (_, before, overlapped), (name, after, overlaps) in pairwise(made):
        differ = [field for field in type(SETTINGS).model_fields if getattr(before, field) != getattr(after, field)]
        changed.append((name, differ, overlaps != overlapped))
    assert changed == [
        ("following between key frames", ["keyframe"], False),
        ("overlap", [], True),
        ("smoothing", ["smooth"], False),
        (f"faces from {SETTINGS.detect.min_face} pixels: the defaults", ["detect"], False),
    ]
    assert made[-1][1] == SETTINGS


def test_steps_are_measured_over_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    def two(settings: object, fps: float) -> Iterator[tuple[object, BenchMonitor]]:
        monitor = BenchMonitor()
        yield Plain(monitor), monitor
        runtime = steps._Runtime("one by one", SETTINGS, fps, overlap=False)
        yield runtime, runtime.monitor

    monkeypatch.setattr(steps, "_steps", two)
    scene = crowd_scene(1, faces=1, frames=3)
    plain, runtime = steps.measure(SETTINGS, [scene.render(i) for i in range(3)], 30.0, 2, lambda *_: None)
    assert (plain.result.name, plain.result.faces, set(plain.stages)) == ("plain", 3, {"detect"})
    assert (runtime.result.name, runtime.result.faces) == ("one by one", 3)
    assert runtime.stages["classify"] > 0
    lines = steps.to_markdown([plain, runtime]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].endswith("| a frame | FPS | times plain |")
    assert lines[3].startswith("| one by one | ")


def test_one_by_one_finds_what_overlapping_finds() -> None:
    scene = crowd_scene(1, faces=1, frames=3)
    frames = [scene.render(index) for index in range(3)]
    for overlap in (False, True):
        with steps._Runtime("x", SETTINGS, 30.0, overlap=overlap) as runtime:
            assert isinstance(runtime, Runtime)
            assert list(runtime.read(frames)) == [1, 1, 1]
    assert np.shape(frames) == (3, 360, 640, 3)
