"""Faces read on another computer: as the CPU reads them, whatever happens to the other computer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge_fer.common.picture import enlarge
from edge_fer.errors import ConfigError, ModelError
from edge_fer.expression.classifier import Classifier, open_network
from edge_fer.expression.failover import Failover
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.fake import FakeBackend
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.remote import connection
from edge_fer.serve.networks import ServedNetwork
from edge_fer.settings import ClassifySettings
from edge_fer.types import AlignedFace
from tests.support.face_server import FaceServer, served_model, serving
from tests.support.fake_edgetpu import ENSEMBLE, twin_store
from tests.support.waiting import wait_until

MODEL = "lite"


@pytest.fixture(scope="module")
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture(scope="module")
def twin(store: ModelStore) -> Iterator[Classifier]:
    with open_network(store, MODEL) as classifier:
        yield classifier


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def face(spec: ClassifierSpec, seed: int) -> AlignedFace:
    """A face as a camera's come: sampled, and enlarged."""
    size = spec.input.size
    side = spec.crop.sampled_side(size)
    sampled = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    return AlignedFace.of_crop(enlarge(sampled, size), sampled)


def settings(port: int, **changes: object) -> ClassifySettings:
    remote = {"deadline_ms": 4000, "connect_s": 8}
    return ClassifySettings.model_validate(
        {"model": MODEL, "backend": f"remote:127.0.0.1:{port}", "retry_s": 0.01, "retry_max_s": 0.02, "check_every": 1,
         "remote": remote, **changes}
    )  # fmt: skip


@contextmanager
def lite_server(port: int = 0) -> Iterator[FaceServer]:
    with serving(served_model(MODEL), port=port) as there:
        yield there


@contextmanager
def opened(port: int, store: ModelStore, **changes: object) -> Iterator[Failover]:
    with open_expression_model(settings(port, **changes), store) as model:
        assert isinstance(model, Failover)
        yield model


def test_each_face_is_read_exactly_as_the_cpu_reads_it(store: ModelStore, twin: Classifier) -> None:
    spec = store.spec(MODEL, "classify")
    with lite_server() as there, opened(there.server.port, store, check_every=0) as model:
        assert (model.origin.reason, model.parallel) == (None, 1)
        for seed in range(8):
            expression = model.classify(face(spec, seed))
            assert expression == twin.classify(face(spec, seed))
            assert expression.origin is not None
            assert (expression.origin.backend, expression.origin.reason) == (model.origin.backend, None)
        sent = spec.crop.sampled_side(spec.input.size)
        assert model.devices[0].inputs[0].shape == (sent, sent) < (spec.input.size,) * 2
        assert there.counts.faces >= 8


def test_a_server_that_starts_later_is_used_then(store: ModelStore, twin: Classifier, port: int) -> None:
    spec = store.spec(MODEL, "classify")
    with opened(port, store) as model:
        assert "connection refused" in str(model.origin.reason)
        expression = model.classify(face(spec, 1))
        assert expression == twin.classify(face(spec, 1))
        assert expression.origin is not None
        assert expression.origin.backend == "cpu"
        assert "connection refused" in str(expression.origin.reason)
        with lite_server(port):
            wait_until(lambda: model.origin.reason is None)
            assert model.classify(face(spec, 2)) == twin.classify(face(spec, 2))
            assert model.origin.backend == f"remote:127.0.0.1:{port}"
        after = model.classify(face(spec, 3))
        assert after == twin.classify(face(spec, 3))
        assert after.origin is not None
        assert (after.origin.backend, after.origin.reason is None) == ("cpu", False)
        assert set(model.devices[0].recovery) == {"reconnect"}


def test_a_server_that_reads_faces_otherwise_is_not_used(store: ModelStore) -> None:
    (real,) = served_model(MODEL)
    liar = FakeBackend(real.devices[0].inputs, real.outputs)
    network = ServedNetwork(MODEL, real.sha256, [liar], real.programs)
    real.close()
    with serving([network]) as there, opened(there.server.port, store) as model:
        assert "to read the golden faces as the CPU does, found other answers" in str(model.origin.reason)


def test_a_server_that_cuts_faces_out_otherwise_is_not_used(store: ModelStore) -> None:
    (real,) = served_model(MODEL)
    program = real.programs["tensors"]
    with (
        serving([ServedNetwork(MODEL, real.sha256, real.devices, {"faces": program})]) as there,
        opened(there.server.port, store) as model,
    ):
        assert "to take and give" in str(model.origin.reason)


def test_an_ensemble_has_a_connection_for_each_member(tmp_path: Path) -> None:
    store = twin_store(tmp_path, ensemble=True)
    with serving(served_model(ENSEMBLE, store)) as there:
        here = settings(there.server.port, model=ENSEMBLE)
        with open_expression_model(here, store) as model:
            assert there.counts.clients == len(model.devices) == 2
            face = model.blank_face
            with open_expression_model(here.model_copy(update={"backend": "cpu"}), store) as twin:
                assert model.classify(face) == twin.classify(face)
            assert model.origin.backend == f"remote:127.0.0.1:{there.server.port}"


def test_what_only_a_cpu_runs_is_refused(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = store.spec(MODEL, "classify")
    monkeypatch.setattr(ModelStore, "spec", lambda *_: spec.model_copy(update={"region": spec.files[0]}))
    with pytest.raises(ModelError, match=r"another computer can run, found .*; choose `classify.backend: cpu`"):
        open_expression_model(settings(9), store)


def test_a_token_that_cannot_be_read_is_an_error_at_once(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a token in .*\(classify\.remote\.token_file\), found: No such"):
        open_expression_model(settings(9, remote={"token_file": tmp_path / "none"}), store)


def test_auto_opens_no_connection(store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it opens a connection")

    monkeypatch.setattr(connection.Connection, "__init__", refuse)
    with open_expression_model(ClassifySettings(model=MODEL, backend="auto", sysfs=tmp_path), store) as model:
        assert model.origin.backend == "cpu"
