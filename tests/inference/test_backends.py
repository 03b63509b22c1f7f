"""The contract of a backend, over every device that this machine has or can fake."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fer.common.backoff import Backoff
from edge_fer.errors import BackendError
from edge_fer.inference import Backend, cpu, open_backend
from edge_fer.inference.edgetpu.backend import CompiledModel, EdgeTpuBackend, EdgeTpuOptions
from edge_fer.inference.edgetpu.devices import list_tpus
from edge_fer.inference.edgetpu.recovery import RecoveryPolicy
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.supervised import SupervisedBackend
from tests.support.fake_edgetpu import FakeEdgeTpu, library, twins

IN_PROCESS = ("cpu", "fake")
DEVICES = (*IN_PROCESS, "edgetpu", "supervised")
Open = Callable[[str, bytes], Backend]


@pytest.fixture(scope="module")
def open_device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Loads a network onto a device by its short name; a supervised one is a supervised Edge TPU."""
    tpu = FakeEdgeTpu(tmp_path_factory.mktemp("tpu"))
    device = list_tpus(tpu.sysfs)[0]
    models: list[CompiledModel] = []

    def edgetpu(content: bytes, cancelled: Callable[[], bool] = lambda: False) -> EdgeTpuBackend:
        models.append(CompiledModel(content))
        options = EdgeTpuOptions(str(library()), deadline_s=10.0, start_deadline_s=30.0)
        return EdgeTpuBackend(device, models[-1], options, cancelled)

    def opened(name: str, content: bytes) -> Backend:
        if name == "edgetpu":
            return edgetpu(content)
        if name != "supervised":
            return open_backend(name, content, threads=2)
        with cpu.open_backend(twins()[0], 1, None) as twin:
            policy = RecoveryPolicy((), Backoff(0.01, 0.01), 0.01, 0)
            supervised = SupervisedBackend(
                "edgetpu:usb:0", twin.input, twin.outputs, lambda stop: edgetpu(content, stop), lambda _: None, policy
            )
        supervised.wait_until_opened()
        return supervised

    with tpu.present():
        yield opened
    for model in models:
        model.close()


def network_for(device: str) -> bytes:
    return ModelStore().load("mtcnn_rnet", "refine") if device in IN_PROCESS else twins()[1]


@pytest.fixture(scope="module", params=[*DEVICES, "cpu se_resnet50", "fake se_resnet50"])
def backend(request: pytest.FixtureRequest, open_device: Open) -> Iterator[Backend]:
    device, _, network = request.param.partition(" ")
    content = ModelStore().load(network, "classify") if network else network_for(device)
    with open_device(device, content) as opened:
        yield opened


def random_input(backend: Backend, seed: int) -> np.ndarray[Any, Any]:
    values = np.random.default_rng(seed).integers(-100, 100, backend.input.shape)
    return (values / 100 if backend.input.scale == 0 else values).astype(backend.input.dtype)


def test_outputs_are_what_the_specification_says(backend: Backend) -> None:
    outputs = backend.infer(random_input(backend, 1))
    assert [(array.shape, array.dtype) for array in outputs] == [(spec.shape, spec.dtype) for spec in backend.outputs]
    assert all(np.isfinite(array).all() for array in outputs)


def test_equal_inputs_give_equal_outputs_and_others_do_not(backend: Backend) -> None:
    first = backend.infer(random_input(backend, 1))
    other = backend.infer(random_input(backend, 2))
    again = backend.infer(random_input(backend, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_outputs_are_the_callers_own(backend: Backend) -> None:
    first = backend.infer(random_input(backend, 1))
    kept = [array.copy() for array in first]
    backend.infer(random_input(backend, 2))
    assert all((a == b).all() for a, b in zip(first, kept, strict=True))


@pytest.mark.parametrize("change", ["shape", "dtype"])
def test_a_wrong_input_is_refused_in_one_line_and_harms_nobody(backend: Backend, change: str) -> None:
    right = random_input(backend, 1)
    wrong = right[:, :-1] if change == "shape" else right.astype(np.float64)
    with pytest.raises(BackendError) as caught:
        backend.infer(wrong)
    assert "\n" not in str(caught.value)
    backend.infer(right)


def test_integers_say_how_they_are_quantized(backend: Backend) -> None:
    for spec in (backend.input, *backend.outputs):
        assert (spec.scale > 0) == (spec.dtype == np.int8)


@pytest.mark.parametrize("device", DEVICES)
def test_a_closed_backend_answers_no_more(device: str, open_device: Open) -> None:
    backend = open_device(device, network_for(device))
    batch = random_input(backend, 1)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(batch)


@pytest.mark.parametrize("device", ["cpu", "fake", "edgetpu"])
@pytest.mark.parametrize("content", [b"not a model", b"not a model, for all its edgetpu-custom-op"])
def test_what_is_no_network_is_refused(device: str, content: bytes, open_device: Open) -> None:
    with pytest.raises(BackendError) as caught:
        open_device(device, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", IN_PROCESS)
def test_the_batch_can_be_chosen(device: str) -> None:
    with open_backend(device, ModelStore().load("mtcnn_rnet", "refine"), input_shape=(3, 24, 24, 3)) as backend:
        assert backend.input.shape[0] == 3
        assert {array.shape[0] for array in backend.infer(random_input(backend, 1))} == {3}


def test_auto_is_a_device_that_runs_any_network() -> None:
    with open_backend("auto", ModelStore().load("mtcnn_rnet", "refine")) as backend:
        assert backend.name == "cpu"


@pytest.mark.parametrize("name", ["edgetpu", "edgetpu:usb:7"])
def test_a_named_edge_tpu_that_is_not_there_is_an_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_fer.inference.edgetpu.backend.list_tpus", lambda: list_tpus(tmp_path))
    with pytest.raises(BackendError, match=r"expected .* Edge TPU.*, found none; plug it in"):
        open_backend(name, twins()[1])


def test_a_missing_interpreter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_interpreters(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith(("ai_edge_litert", "tflite_runtime")):
            raise ImportError(f"no module named {name}")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_interpreters)
    with pytest.raises(BackendError, match="pip install ai-edge-litert"):
        open_backend("cpu", b"")
