"""An ensemble on two Edge TPUs, one of which is killed: the real child processes, with a fake library in them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_fer.errors import BackendError
from edge_fer.expression.ensemble import Ensemble
from edge_fer.expression.failover import Failover
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.model_store import ModelStore
from edge_fer.pipeline import Pipeline
from edge_fer.settings import ClassifySettings
from tests.inference.edgetpu.test_edgetpu import child_of, face_of, read_from, settings_for, until
from tests.inference.edgetpu.test_edgetpu_pipeline import Kept
from tests.inference.edgetpu.test_edgetpu_pipeline import settings_for as run_settings
from tests.support.fake_edgetpu import ENSEMBLE, FakeEdgeTpu, library, twin_store
from tools.field.torture import Loop, pictures_of_a_face

BOTH = "edgetpu:usb:0+edgetpu:usb:1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return twin_store(tmp_path_factory.mktemp("models"), ensemble=True)


@pytest.fixture
def tpu(tmp_path: Path) -> Iterator[FakeEdgeTpu]:
    library()
    with FakeEdgeTpu(tmp_path / "tpu", ["2-1", "2-2"]).present() as present:
        yield present


def opened(settings: ClassifySettings, store: ModelStore) -> Ensemble:
    model = open_expression_model(settings, store)
    assert isinstance(model, Ensemble)
    return model


def failover_of(ensemble: Ensemble, member: int) -> Failover:
    model = ensemble._members[member].model
    assert isinstance(model, Failover)
    return model


def in_service(ensemble: Ensemble) -> bool:
    return ensemble.origin.reason is None


def test_two_devices_read_as_the_processor_does(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    cpu = ClassifySettings(model=ENSEMBLE, backend="cpu")
    with opened(settings_for(tpu, model=ENSEMBLE), store) as ensemble, opened(cpu, store) as expected:
        assert (ensemble.origin.backend, expected.origin.backend) == (BOTH, "cpu")
        assert child_of(failover_of(ensemble, 0)) != child_of(failover_of(ensemble, 1))
        for seed in range(3):
            assert ensemble.classify(face_of(seed)) == expected.classify(face_of(seed))


def test_one_device_is_for_the_best_member_and_the_processor_for_the_other(
    tmp_path: Path, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    library()
    with FakeEdgeTpu(tmp_path / "tpu").present() as tpu:
        with opened(settings_for(tpu, model=ENSEMBLE), store) as ensemble:
            assert "`lite` of `both` is read on the CPU: there are fewer Edge TPUs than members" in caplog.text
            assert ensemble.classify(face_of(1)).origin == ensemble.origin
            assert (ensemble.origin.backend, ensemble.origin.reason) == ("edgetpu:usb:0+cpu", None)
        tpu.fail_always("load", "abort")
        with pytest.raises(BackendError, match="SIGABRT"):
            opened(settings_for(tpu, model=ENSEMBLE), store)


def test_a_member_without_its_device_is_left_out_until_it_is_back(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    with opened(settings_for(tpu, model=ENSEMBLE, retry_s=0.5), store) as ensemble:
        whole = ensemble.classify(face_of(1))
        best = failover_of(ensemble, 0).classify(face_of(1))
        os.kill(child_of(failover_of(ensemble, 1)), signal.SIGKILL)
        failing = ensemble.classify(face_of(1))  # the processor reads the face that the device was given
        assert failing == whole
        assert "SIGKILL" in (read_from(failing).reason or "")
        without = ensemble.classify(face_of(1))
        assert (without, read_from(without).model) == (best, "se_resnet50")
        assert (read_from(without).reason or "").startswith("`lite` is left out: edgetpu:usb:1")
        assert until(lambda: in_service(ensemble))
        assert ensemble.classify(face_of(1)) == whole
        assert ensemble.devices[1].recovery == {"restart": 1}


@pytest.mark.slow
def test_no_face_is_lost_when_one_of_two_devices_is_killed(tpu: FakeEdgeTpu, store: ModelStore) -> None:
    usual = run_settings(tpu, store)
    classify = usual.classify.model_copy(update={"model": ENSEMBLE, "fallback_model": None})
    settings = usual.model_copy(update={"classify": classify})
    ensemble = opened(settings.classify, store)

    def kill() -> None:
        os.kill(child_of(failover_of(ensemble, 1)), signal.SIGKILL)

    def ready() -> bool:
        """The frames wait while the child is away, once one was read without it."""
        return not sink.readings or not sink.readings[-1].degraded or in_service(ensemble)

    sink = Kept(after_5=kill)
    loop = Loop(pictures_of_a_face(), 20, 0.01, ready)
    with Pipeline(settings, [sink], model=ensemble, opener=lambda *_: loop) as pipeline:
        pipeline.run()
    readings = sink.readings
    assert [reading.frame for reading in readings] == list(range(20))
    assert all(face.label_age_ms is not None for reading in readings for face in reading.faces)
    assert sum(len(reading.faces) for reading in readings) >= 19
    away: list[Any] = [reading for reading in readings if reading.degraded]
    assert 1 <= len(away) <= 6, "some were on their way"
    assert all("SIGKILL" in reading.reason for reading in away)
    assert (readings[-1].model, readings[-1].backend, readings[-1].reason) == (ENSEMBLE, BOTH, None)
