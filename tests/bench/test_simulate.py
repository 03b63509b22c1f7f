"""The simulated accelerator, and what binds beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge_fer.bench.live import Length
from edge_fer.bench.records import Simulation
from edge_fer.bench.report import to_text
from edge_fer.bench.simulate import predict, predict_live, profile_of
from edge_fer.bench.simulated_detector import open_simulated_detector
from edge_fer.bench.source import crowd, scene_of
from edge_fer.common.machine import PROFILES
from edge_fer.errors import BackendError, ConfigError
from edge_fer.inference import Backend
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.simulated import SimulatedBackend, open_backend
from edge_fer.settings import Settings, load_settings
from edge_fer.synthetic.scenes import crowd_scene
from tests.support.bench_made import LIVE, PREDICTED
from tests.support.fake_edgetpu import ENSEMBLE, add_detector, painted, twin_store

DEV_BOARD = PROFILES["dev-board"]


class Clock:
    """Seconds that pass while somebody sleeps, and a little each time one looks."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture(scope="module")
def model() -> bytes:
    return ModelStore().load("mtcnn_onet", "output")


@pytest.fixture
def backend(model: bytes) -> Iterator[Backend]:
    with open_backend(model, 0.0) as opened:
        yield opened


def test_an_ensemble_is_not_simulated(tmp_path: Path) -> None:
    twin_store(tmp_path, ensemble=True)
    flags = {"models": str(tmp_path), "classify.model": ENSEMBLE}
    scene: Any = SimpleNamespace(settings=load_settings(environment={}, flags=flags))
    with pytest.raises(ConfigError, match=f"found the ensemble `{ENSEMBLE}`; simulate its members"):
        predict_live(scene, DEV_BOARD, Length(0, 0.1), lambda _: None)


def zeros(backend: Backend) -> np.ndarray:
    return np.zeros(backend.inputs[0].shape, backend.inputs[0].dtype)


def test_it_keeps_the_contract_of_a_backend(backend: Backend) -> None:
    assert backend.name == "simulated"
    outputs = backend.infer(zeros(backend))
    assert [(array.shape, array.dtype) for array in outputs] == [(spec.shape, spec.dtype) for spec in backend.outputs]
    again = backend.infer(zeros(backend))
    assert all((a == b).all() for a, b in zip(outputs, again, strict=True))
    with pytest.raises(BackendError, match="expected float32"):
        backend.infer(zeros(backend).astype(np.float64))
    backend.close()
    with pytest.raises(BackendError, match="expected an open backend"):
        backend.infer(zeros(backend))


def test_an_answer_comes_after_the_accelerators_latency(backend: Backend) -> None:
    clock = Clock()
    slow = SimulatedBackend(backend.inputs, backend.outputs, 0.052, clock, clock.sleep)
    slow.infer(zeros(backend))
    assert clock.slept == [pytest.approx(0.051)], "less what the arithmetic took"
    late = SimulatedBackend(backend.inputs, backend.outputs, 0.0, clock, clock.sleep)
    late.infer(zeros(backend))
    assert clock.slept[1] == 0, "never less than nothing"


def test_an_unknown_board_names_the_known_ones() -> None:
    assert profile_of("pi4", "se_resnet50").label_ms == 88
    with pytest.raises(ConfigError, match="out of dev-board, usb3, pi4, two-boards, found `pi5`"):
        profile_of("pi5", "lite")


@pytest.mark.parametrize("name", PROFILES)
def test_a_network_that_fits_into_the_memory_is_quicker(name: str) -> None:
    large, small, unknown = (profile_of(name, model) for model in ("se_resnet50", "lite", "mine"))
    assert small.label_ms < 2 < large.label_ms == unknown.label_ms
    assert "`lite`" in small.label_source
    assert "`se_resnet50`" in unknown.label_source, "whose figure it is"


@pytest.mark.parametrize("name", PROFILES)
def test_every_board_says_where_its_figures_come_from(name: str) -> None:
    profile = PROFILES[name]
    assert profile.name == name
    assert profile.stretch >= 1
    assert len(profile.label_source) > 20
    assert len(profile.stretch_source) > 20


def test_the_accelerator_binds_where_more_crops_are_offered_than_it_reads() -> None:
    found = predict(replace(LIVE, faces=1.0, labels_per_s=19.0, find_ms=25.0), DEV_BOARD)
    assert (found.binding, found.bound, found.reached) == ("accelerator", 20.0, 19.0)
    assert found.share == pytest.approx(0.95, abs=1e-4)
    assert (found.accelerator_bound, found.processor_bound) == (20.0, 40.0)


@pytest.mark.parametrize(
    ("find_ms", "fps", "binding", "bound"), [(100.0, 9.8, "processor", 10.0), (25.0, 29.7, "camera", 30.0)]
)
def test_else_the_slower_one_of_camera_and_processor_binds(
    find_ms: float, fps: float, binding: str, bound: float
) -> None:
    live = replace(LIVE, faces=0.5, fps=fps, find_ms=find_ms, captured_fps=30.0)
    found = predict(live, DEV_BOARD)
    assert (found.binding, found.bound, found.reached) == (binding, bound, fps)
    assert found.share == pytest.approx(fps / bound, abs=1e-4)


def test_between_two_boards_the_way_takes_time_too() -> None:
    profile = profile_of("two-boards", "se_resnet50")
    assert profile.face_ms == profile.label_ms + profile.network_ms > profile.label_ms
    assert len(profile.network_source) > 20
    found = predict(replace(LIVE, faces=1.0, find_ms=25.0), profile_of("two-boards", "se_resnet50", 50.0))
    assert (found.binding, found.accelerator_bound) == ("accelerator", 10.0)
    text = to_text(replace(PREDICTED, simulation=Simulation(profile, (found,))))
    assert "network: 2 ms a face: an assumption" in text
    assert "published, measured: 2.5 to 3 FPS" in text


def test_without_frames_nothing_is_reached() -> None:
    found = predict(replace(LIVE, find_ms=0.0, captured_fps=0.0, fps=0.0), DEV_BOARD)
    assert (found.binding, found.bound, found.share) == ("camera", 0.0, 0.0)


@pytest.fixture(scope="module")
def with_detector(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("models")
    twin_store(folder)
    add_detector(folder)
    flags = {"models": str(folder), "detect.kind": "yolo", "detect.size": 64, "detect.min_face": 20,
             "detect.labels": "own", "detect.precision": "float32", "enhance.clahe": "off"}  # fmt: skip
    return load_settings(environment={}, flags=flags)


def test_a_simulated_search_finds_what_is_there_and_takes_its_time(with_detector: Settings) -> None:
    clock, turn = Clock(), threading.Lock()
    held: list[bool] = []

    def wait(seconds: float) -> None:
        held.append(turn.locked())
        clock.sleep(seconds)

    frame = crowd_scene(seed=3, faces=1, frames=1).render(0)
    known, other = (painted(np.asarray(cv2.resize(frame, (64, 64)), np.uint8), label) for label in (0, 1))
    with open_simulated_detector(with_detector, [known], 0.005, turn, wait) as detector:
        assert [len(detector.find(image)) for image in (known, other)] == [1, 1]
        assert detector.origin.backend == "simulated"
    assert held == [True, True]
    assert clock.slept == [pytest.approx(0.005, abs=0.001)] * 2


def test_two_boards_cannot_search_on_the_other_ones_accelerator(with_detector: Settings) -> None:
    scene: Any = SimpleNamespace(settings=with_detector)
    with pytest.raises(ConfigError, match="expected a board with its own accelerator for kind yolo"):
        predict_live(scene, PROFILES["two-boards"], Length(0, 0.1), lambda _: None)


def test_where_the_detector_reads_the_faces_the_accelerator_binds_nothing() -> None:
    found = predict(replace(LIVE, faces=16.0, find_ms=25.0), replace(DEV_BOARD, label_ms=0.0))
    assert (found.binding, found.accelerator_bound) == ("camera", float("inf"))


@pytest.mark.slow
def test_the_whole_runtime_runs_with_its_detector_on_the_accelerator(with_detector: Settings) -> None:
    scene = scene_of(crowd(with_detector, 1), 64)
    found = predict_live(scene, PROFILES["usb3"], Length(0.0, 0.3), lambda _: None)
    assert found.live.stages["detect"].p50_ms >= PROFILES["usb3"].search_ms


@pytest.mark.slow
def test_the_whole_runtime_runs_beside_the_accelerator() -> None:
    profile = PROFILES["usb3"]
    scene = scene_of(crowd(load_settings(environment={}), 1), 600)
    told: list[float] = []
    found = predict_live(scene, profile, Length(0.0, 0.3), told.append)
    assert (found.live.source, told[-1]) == ("synthetic:1", 1.0)
    assert found == predict(found.live, profile)
    labels = found.live.stages.get("classify")
    assert labels is None or labels.p50_ms >= profile.label_ms, "a busy machine may give no label in so short a time"
