from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from rich.console import Console

from edge_fer.backends.cameras.synthetic import Synthetic
from edge_fer.bench import Report, compete, decode, machine, open_baselines, run_bench
from edge_fer.bench_report import show
from edge_fer.errors import ConfigError, SourceError
from edge_fer.settings import CaptureSettings, load_settings
from edge_fer.types import Image


class Timed:
    """A contender that takes a given time a frame, on a clock that it moves itself."""

    min_face = 20

    def __init__(self, name: str, seconds: list[float], now: list[float]) -> None:
        self.name = name
        self._seconds = seconds
        self._now = now
        self.frames = 0

    def read(self, images: Iterable[Image]) -> Iterator[int]:
        for _ in images:
            self._now[0] += self._seconds[self.frames % len(self._seconds)]
            self.frames += 1
            yield 2

    def close(self) -> None:
        """Nothing is held open."""


def test_speedups_are_formed_within_a_turn() -> None:
    """The machine gets three times slower in the second turn; the ratio does not care."""
    now = [0.0]
    warm = [1.0] * 2
    fast = Timed("edge-fer", [*warm, 0.01, 0.01, 0.03, 0.03], now)
    slow = Timed("plain", [*warm, 0.2, 0.2, 0.6, 0.6], now)
    results = compete([fast, slow], [np.zeros((8, 8, 3), np.uint8)] * 2, 2, lambda _: None, lambda: now[0])
    ours, plain = results
    assert (ours.speedup, ours.speedup_spread) == (1, (1, 1))
    assert (plain.speedup, plain.speedup_spread) == (20, (20, 20))
    assert plain.fps_spread == (round(1 / 0.6, 2), 5)
    assert plain.p50_ms == pytest.approx(400)
    assert plain.faces == 4


def test_frames_are_decoded_before_the_clock_runs() -> None:
    frames, fps = decode(CaptureSettings(source="sample"), 3, 320)
    assert fps == 30
    assert [frame.shape for frame in frames] == [(180, 320, 3)] * 3


def test_a_bench_runs_from_the_source_to_the_table() -> None:
    settings = load_settings(environment={}, flags={"capture.source": "synthetic:2"})
    told: list[str] = []
    report = run_bench(settings, [], frames=2, turns=1, size=600, progress=told.append)
    assert told == ["warming up edge-fer", "turn 1 of 1: edge-fer"]
    assert (report.size, report.frames) == ((600, 600), 2)
    assert report.results[0].faces == 4
    assert json.loads(report.to_json())["results"][0]["name"] == "edge-fer"
    text = io.StringIO()
    show(report, Console(file=text, width=200))
    assert "edge-fer" in text.getvalue()
    assert report.machine["processor"] in text.getvalue()


def test_reports_can_be_read_back() -> None:
    report = Report(machine(), "sample", 1, (640, 360), 1, ())
    assert json.loads(report.to_json())["machine"]["cores"] == machine()["cores"]


def test_an_unknown_baseline_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"plain, plain-litert.*found `fast`"):
        open_baselines(["fast"])


def test_a_synthetic_source_shows_as_many_faces_as_it_is_asked_for() -> None:
    source = Synthetic("synthetic:2")
    frames = []
    while (taken := source.read()) is not None:
        frames.append(taken[0])
    assert len(frames) == 90
    assert frames[0].shape == (600, 600, 3)
    assert (frames[0] != frames[1]).any()
    with pytest.raises(SourceError, match="try synthetic:1"):
        Synthetic("synthetic:many")
