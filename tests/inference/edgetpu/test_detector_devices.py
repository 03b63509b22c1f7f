"""A detector on an Edge TPU that fails, alone and beside the classifier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_fer.errors import BackendError
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.shared_tpu import detector_tpu
from edge_fer.pipeline import Pipeline
from edge_fer.recognizer import Recognizer
from edge_fer.settings import Settings, load_settings
from edge_fer.status.monitor import Monitor
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import LABELS, Frame, Image, Origin
from tests.inference.edgetpu.test_edgetpu import until
from tests.inference.edgetpu.test_edgetpu_pipeline import Kept
from tests.support.fake_edgetpu import COMPILED, DETECTOR, FakeEdgeTpu, add_detector, library, painted, twin_store
from tools.field.detector_faults import run
from tools.field.torture import Loop


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder = tmp_path_factory.mktemp("models")
    twin_store(folder)
    add_detector(folder)
    return ModelStore(folder)


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    """One face that shows anger, then disgust."""
    frame = crowd_scene(seed=3, faces=1, frames=1).render(0)
    small = np.asarray(cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA), np.uint8)
    return [painted(small, label) for label in (0, 1)]


def settings_for(tpu: FakeEdgeTpu, store: ModelStore, **changes: object) -> Settings:
    flags: dict[str, Any] = {
        "models": str(store.folder), "detect.kind": "yolo", "detect.size": 64, "detect.min_face": 20,
        "detect.precision": "float32", "detect.backend": "edgetpu", "classify.model": COMPILED,
        "classify.backend": "edgetpu", "classify.edgetpu_library": str(library()), "classify.sysfs": str(tpu.sysfs),
        "classify.dev": str(tpu.dev), "classify.deadline_ms": 2000, "classify.retry_s": 0.01, "smooth.enabled": False,
        "keyframe.enabled": False,
    }  # fmt: skip
    return load_settings(environment={}, flags=flags | {name.replace("__", "."): one for name, one in changes.items()})


def frames(pictures: list[Image]) -> Iterator[Frame]:
    for index, image in enumerate(pictures):
        yield Frame(index, image, index * 40_000_000, 0.0, index * 40_000_000)


def test_detector_and_classifier_take_turns_on_one_edge_tpu(
    store: ModelStore, pictures: list[Image], tmp_path: Path
) -> None:
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        settings = settings_for(tpu, store)
        with Recognizer(settings, Monitor(1).stage) as recognizer:
            assert tpu.loads == 2, "two networks, in one process"
            found = list(recognizer.read(frames(pictures * 2)))
            assert [one.origin for one in found] == [Origin(COMPILED, "edgetpu:usb:0")] * 4
            assert [one.detector for one in found] == [Origin(DETECTOR, "edgetpu:usb:0")] * 4
            tpu.fail("infer", "error")
            (failed,) = recognizer.read(frames(pictures[:1]))
            assert failed.detector.backend == "cpu"
            assert "the device has gone" in (failed.detector.reason or "")
            assert len(failed.faces) == 1
            assert until(lambda: recognizer.detector.reason is None)
            (again,) = recognizer.read(frames(pictures[:1]))
            assert (again.detector.reason, again.origin.reason) == (None, None)
            assert sum(sum(device.recovery.values()) for device in recognizer.detector.devices) == 1


@pytest.mark.slow
def test_each_has_an_edge_tpu_where_there_are_two(store: ModelStore, pictures: list[Image], tmp_path: Path) -> None:
    with FakeEdgeTpu(tmp_path / "tpu", ["2-1", "2-2"]).present() as tpu:
        with Recognizer(settings_for(tpu, store), Monitor(1).stage) as recognizer:
            (found,) = recognizer.read(frames(pictures[:1]))
        named = settings_for(tpu, store, classify__backend="edgetpu:usb:1")
        free = detector_tpu(named.detect, named.classify)
    assert (found.origin.backend, found.detector.backend) == ("edgetpu:usb:0", "edgetpu:usb:1")
    assert free is not None
    assert free.name == "edgetpu:usb:0"


def test_labels_of_its_own_need_no_classifier_and_say_what_gave_them(
    store: ModelStore, pictures: list[Image], tmp_path: Path
) -> None:
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        settings = settings_for(tpu, store, detect__labels="own")
        with Recognizer(settings, Monitor(1).stage) as recognizer:
            assert tpu.loads == 1
            found = list(recognizer.read(frames(pictures)))
    assert [one.origin for one in found] == [Origin(DETECTOR, "edgetpu:usb:0")] * 2
    assert [max(one.faces[0].probabilities, key=one.faces[0].probabilities.__getitem__) for one in found] == list(
        LABELS[:2]
    )


def test_a_device_that_sees_otherwise_is_caught_and_the_cpu_is_right(
    store: ModelStore, pictures: list[Image], tmp_path: Path
) -> None:
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        settings = settings_for(tpu, store, classify__check_every=1, detect__labels="own")
        with Recognizer(settings, Monitor(1).stage) as recognizer:
            tpu.fail("infer", "garbage")
            (found,) = recognizer.read(frames(pictures[:1]))
    assert found.detector.reason == "edgetpu:usb:0 saw otherwise than the CPU"
    assert len(found.faces) == 1


@pytest.mark.slow
def test_a_named_device_must_work_and_auto_goes_on_without(
    store: ModelStore, pictures: list[Image], tmp_path: Path
) -> None:
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        tpu.fail_always("load", "no_device")
        with pytest.raises(BackendError, match="does not"):
            Recognizer(settings_for(tpu, store, detect__labels="own"), Monitor(1).stage)
        settings = settings_for(tpu, store, detect__labels="own", detect__backend="auto")
        kept = Kept()
        with Pipeline(settings, [kept], opener=lambda *_: Loop(pictures, 2, 0.01)) as pipeline:
            pipeline.run()
    assert len(kept.readings) == 2
    assert all(reading.degraded and reading.backend == "cpu" and reading.faces for reading in kept.readings)
    assert {(status.detector, status.detector_backend) for status in kept.told} == {(DETECTOR, "cpu")}
    assert any("faces are searched without edgetpu:usb:0" in status.message for status in kept.told)


@pytest.mark.slow
def test_a_network_that_was_not_compiled_runs_on_the_cpu_where_no_device_is_named(
    pictures: list[Image], tmp_path: Path
) -> None:
    twin_store(tmp_path)
    add_detector(tmp_path, compiled=False)
    store = ModelStore(tmp_path)
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        with pytest.raises(BackendError, match="compile_edgetpu"):
            Recognizer(settings_for(tpu, store, detect__labels="own"), Monitor(1).stage)
        settings = settings_for(tpu, store, detect__backend="auto")
        with Recognizer(settings, Monitor(1).stage) as recognizer:
            (found,) = recognizer.read(frames(pictures[:1]))
    assert found.detector.backend == "cpu"
    assert "compiled" in (found.detector.reason or "")
    assert found.origin == Origin(COMPILED, "edgetpu:usb:0")


@pytest.mark.slow
def test_no_reading_is_lost_or_wrong_while_both_networks_fail(tmp_path: Path) -> None:
    """The short version of `make field-detector_faults`."""
    result = run(tmp_path, frames=200, faults=10, fps=50, deadline_ms=1000)
    assert result.broken_promises(200, 10) == []
