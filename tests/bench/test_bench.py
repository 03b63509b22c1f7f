"""The benchmark as a whole, and contenders that take turns."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer import bench
from edge_fer.bench import Plan, run_bench
from edge_fer.bench import compare as bench_compare
from edge_fer.bench.compare import changed, compete, find_baselines, find_rivals, run_comparison
from edge_fer.bench.live import Length
from edge_fer.bench.records import Prediction, Report
from edge_fer.bench.report import to_text
from edge_fer.bench.source import Scene
from edge_fer.capture.sources.synthetic import Synthetic
from edge_fer.common.machine import PROFILES, board
from edge_fer.errors import ConfigError, ModelError, SourceError
from edge_fer.settings import Settings, load_settings
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Image
from tests.support.bench_made import LIVE
from tests.support.fake_edgetpu import ENSEMBLE, add_detector, painted, twin_store


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


def settings_for(source: str) -> Settings:
    return load_settings(environment={}, flags={"capture.source": source, "classify.backend": "fake"})


def plan(**changes: object) -> Plan:
    usual = {"against": (), "frames": 2, "turns": 2, "size": 600, "warm_up_frames": 1, "length": Length(0.0, 0.3)}
    return Plan(**{**usual, **changes})


def test_speedups_are_formed_within_a_turn() -> None:
    """The machine gets three times slower in the second turn; the ratio does not care."""
    now = [0.0]
    fast = Timed("edge-fer", [0.01, 0.01, 0.03, 0.03], now)
    slow = Timed("plain", [0.2, 0.2, 0.6, 0.6], now)
    told: list[tuple[str, float]] = []
    frames = [np.zeros((8, 8, 3), np.uint8)] * 2
    results = compete([fast, slow], frames, 2, lambda *said: told.append(said), lambda: now[0])
    ours, plain = results
    assert (ours.speedup, ours.speedup_spread) == (1, (1, 1))
    assert (plain.speedup, plain.speedup_spread) == (20, (20, 20))
    assert plain.fps_spread == (round(1 / 0.6, 2), 5)
    assert plain.p50_ms == pytest.approx(400)
    assert plain.p50_ms <= plain.p95_ms <= plain.p99_ms
    assert plain.faces == 4
    assert told == [
        ("turn 1 of 2: edge-fer", 0.0),
        ("turn 1 of 2: plain", 0.25),
        ("turn 2 of 2: edge-fer", 0.5),
        ("turn 2 of 2: plain", 0.75),
    ]


def test_a_bench_runs_from_the_source_to_the_tables() -> None:
    told: list[str] = []
    report = run_bench(settings_for("synthetic:2"), plan(), lambda text, _: told.append(text))
    assert list(dict.fromkeys(told)) == [
        "live: synthetic:2",
        "decoding synthetic:2",
        "warming up",
        "turn 1 of 2: edge-fer",
        "turn 2 of 2: edge-fer",
    ]
    assert report.comparison is not None
    assert report.live is not None
    assert (report.comparison.size, report.comparison.frames, report.comparison.warm_up) == ((600, 600), 2, 1)
    assert report.comparison.results[0].faces == 4
    assert report.comparison.stages["classify"].count == 2 * 2 * 2
    assert report.live.source == "synthetic:2"
    assert 0.3 <= report.live.seconds < 10
    assert report.live.resources.rss_mb > report.live.resources.frames_mb > 90, "90 frames of 1.08 MB"
    text = to_text(report)
    for word in ("edge-fer", "paced like a camera", "follow", "p99", report.machine["processor"], "mtcnn_pnet"):
        assert word in text
    content = json.loads(report.to_json())
    assert content["schema"] == "edge-fer/bench/1"
    assert content["comparison"]["results"][0]["name"] == "edge-fer"


@pytest.mark.slow
def test_a_simulation_measures_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def predicted(scene: Scene, profile: object, length: object, told: object) -> Prediction:
        shown.append(scene.settings.capture.source)
        return Prediction(LIVE, "accelerator", 19.2, 19.0, 0.99, 19.2, 60.0)

    monkeypatch.setattr(bench, "predict_live", predicted)
    crowds = plan(profile=PROFILES["dev-board"], crowds=(0, 4))
    report = run_bench(settings_for("sample"), crowds, lambda *_: None)
    assert shown == ["synthetic:0", "synthetic:4"]
    assert report.simulation is not None
    assert (report.live, report.comparison, report.crowds) == (None, None, ())
    run_bench(settings_for("sample"), plan(profile=PROFILES["pi4"]), lambda *_: None)
    assert shown[-1] == "sample", "the source itself where no crowds are asked for"
    text = to_text(report)
    for word in ("PREDICTIONS for Coral Dev Board", "50 ms a face", "x 11.4", "accelerator", "99.0%", "19.2 labels/s"):
        assert word in text


def test_a_reports_parts_are_left_out_where_they_were_not_measured() -> None:
    text = to_text(Report(board(), {"processor": "a chip"}, "sample", ("a", "b", "c"), advice="type this"))
    assert text.splitlines() == ["processor: a chip", "detector: a, b, c  governor: unknown", "type this"]


def test_an_unknown_baseline_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"plain, plain-litert.*found `fast`.*\.\[lab\]"):
        find_baselines(["fast"])


def test_a_baseline_whose_libraries_are_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(bench_compare, "find_spec", lambda name: None if name == "mtcnn" else found(name))
    with pytest.raises(ConfigError, match=r"`plain` needs mtcnn.*\.\[lab\]"):
        find_baselines(["plain"])


def test_without_the_lab_there_are_no_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    none: list[EntryPoint] = []
    monkeypatch.setattr(bench_compare, "entry_points", lambda group: none)
    assert find_baselines([]) == []
    with pytest.raises(ConfigError, match="out of none installed, found `plain`"):
        find_baselines(["plain"])


def test_models_that_it_could_use_are_rivals_too() -> None:
    settings = load_settings(environment={})
    assert find_rivals(settings, []) == []
    assert len(find_rivals(settings, ["lite"])) == 1
    with pytest.raises(ConfigError, match=r"out of .*, lite, .*, found `lita`"):
        find_rivals(settings, ["lita"])


def test_detectors_are_rivals_too(tmp_path: Path) -> None:
    twin_store(tmp_path)
    add_detector(tmp_path)
    settings = load_settings(environment={}, flags={"models": str(tmp_path), "detect.kind": "yolo"})
    assert len(find_rivals(settings, ["mtcnn", "yolo-own"])) == 2
    with pytest.raises(ModelError, match=r"expected a model for `detect` \(there is: \w+\), found `mine`"):
        find_rivals(load_settings(environment={}, flags={"detect.model": "mine"}), ["yolo"])
    own, cascade = (changed(settings, name).detect for name in ("yolo-own", "mtcnn"))
    assert (own.kind, own.labels) == ("yolo", "own")
    assert (cascade.kind, cascade.labels, cascade.backend) == ("mtcnn", "classifier", "auto")


@pytest.mark.slow
def test_two_detectors_read_the_same_frames(tmp_path: Path) -> None:
    twin_store(tmp_path)
    add_detector(tmp_path)
    settings = load_settings(
        environment={}, flags={"models": str(tmp_path), "detect.min_face": 20, "keyframe.enabled": False}
    )
    frame = crowd_scene(seed=3, faces=1, frames=1).render(0)
    small = np.asarray(cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA), np.uint8)
    found = run_comparison(settings, ["yolo", "yolo-own"], [painted(small, 0)] * 2, 30.0, 1, 1, lambda *_: None)
    assert [result.name for result in found.results] == ["edge-fer", "edge-fer, yolo", "edge-fer, yolo-own"]
    assert [result.faces for result in found.results[1:]] == [2, 2]


@pytest.mark.slow
def test_an_ensemble_is_measured_beside_its_members(tmp_path: Path) -> None:
    twin_store(tmp_path, ensemble=True)
    settings = load_settings(environment={}, flags={"models": str(tmp_path), "classify.model": ENSEMBLE})
    pictures = [crowd_scene(seed=3, faces=1, frames=1).render(0)] * 2
    found = run_comparison(settings, ["se_resnet50", "lite"], pictures, 30.0, 1, 1, lambda *_: None)
    assert [one.name for one in found.results] == ["edge-fer", "edge-fer, se_resnet50", "edge-fer, lite"]
    assert len({one.faces for one in found.results}) == 1


@pytest.mark.slow
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
