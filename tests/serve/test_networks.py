"""Which devices a server runs its networks on, and what its clients get while these are away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_fer.errors import BackendError, ModelError
from edge_fer.expression.classifier import open_network
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.model_store import ModelStore
from edge_fer.serve.networks import open_networks
from edge_fer.settings import ClassifySettings
from tests.support.face_server import serving
from tests.support.fake_edgetpu import ENSEMBLE, FakeEdgeTpu, library, twin_store
from tests.support.waiting import wait_until


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return twin_store(tmp_path, ensemble=True)


@pytest.fixture
def tpu(tmp_path: Path) -> Iterator[FakeEdgeTpu]:
    library()  # where it cannot be compiled, the test is skipped here
    with FakeEdgeTpu(tmp_path / "tpu").present() as present:
        yield present


def on(tpu: FakeEdgeTpu, **changes: object) -> ClassifySettings:
    return ClassifySettings.model_validate({
        "edgetpu_library": str(library()), "sysfs": tpu.sysfs, "dev": tpu.dev, "retry_s": 0.01, "retry_max_s": 0.02,
        "park_s": 0.05, "steady_s": 0, "deadline_ms": 4000, **changes,
    })  # fmt: skip


def test_an_edge_tpu_that_fails_is_replaced_by_the_clients_cpu_and_comes_back(
    store: ModelStore, tpu: FakeEdgeTpu
) -> None:
    with serving(open_networks(on(tpu, backend="edgetpu"), store)) as there:
        assert there.networks[0].origin.backend == "edgetpu:usb:0"
        client = ClassifySettings.model_validate({
            "backend": f"remote:127.0.0.1:{there.server.port}", "retry_s": 0.01, "retry_max_s": 0.02,
            "remote": {"deadline_ms": 4000, "connect_s": 8},
        })  # fmt: skip
        with open_expression_model(client, store) as model, open_network(store, client.model) as twin:
            face = model.blank_face
            assert model.origin.reason is None
            assert model.classify(face) == twin.classify(face)
            tpu.fail_always("infer", "error")
            expression = model.classify(face)
            assert expression == twin.classify(face)
            assert expression.origin is not None
            assert expression.origin.backend == "cpu"
            assert "failed on the Edge TPU: the device has gone" in str(expression.origin.reason)
            tpu.recover()
            wait_until(lambda: model.origin.reason is None)
            assert model.classify(face).origin == model.origin
        assert there.counts.away >= 1
        assert there.networks[0].supervised[0].recovery["restart"] >= 1


def test_each_member_of_an_ensemble_is_a_network_of_its_own(store: ModelStore, tpu: FakeEdgeTpu) -> None:
    networks = open_networks(on(tpu, backend="auto", model=ENSEMBLE), store)
    backends = [network.origin.backend for network in networks]
    for network in networks:
        network.close()
    assert sorted(backends) == ["cpu", "edgetpu:usb:0"], "one has the only Edge TPU"
    assert len({network.sha256 for network in networks}) == 2


def test_auto_takes_the_cpu_where_the_network_was_not_compiled(tmp_path: Path, tpu: FakeEdgeTpu) -> None:
    (tmp_path / "other").mkdir()
    store = twin_store(tmp_path / "other", compiled=False)
    (network,) = open_networks(on(tpu, backend="auto"), store)
    with network:
        assert network.origin.backend == "cpu"
    with pytest.raises(BackendError, match="compiled for the Edge TPU"):
        open_networks(on(tpu, backend="edgetpu"), store)


def test_a_named_edge_tpu_must_work(store: ModelStore, tpu: FakeEdgeTpu) -> None:
    tpu.fail_always("load", "no_device")
    with pytest.raises(BackendError, match="expected the Edge TPU at 2-1 to open"):
        open_networks(on(tpu, backend="edgetpu", start_deadline_s=10), store)


def test_two_networks_with_a_cut_between_them_are_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelStore().spec("lite", "classify")
    monkeypatch.setattr(ModelStore, "spec", lambda *_: spec.model_copy(update={"region": spec.files[0]}))
    with pytest.raises(ModelError, match="expected a network that can be served, found `lite`"):
        open_networks(ClassifySettings(backend="cpu", model="lite"), ModelStore())
