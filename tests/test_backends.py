"""The contract of a backend, over every device that this machine has."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edge_fer.backends import Backend, BackendName, open_backend
from edge_fer.errors import BackendError
from edge_fer.models import ModelStore, Task

DEVICES: tuple[BackendName, ...] = ("cpu", "fake")
NETWORKS: tuple[tuple[str, Task], ...] = (("mtcnn_rnet", "refine"), ("se_resnet50", "classify"))


@pytest.fixture(scope="module", params=[(device, *network) for device in DEVICES for network in NETWORKS], ids=str)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    device, name, task = request.param
    with open_backend(device, ModelStore().load(name, task), threads=2) as opened:
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
def test_a_wrong_input_is_refused_in_one_line(backend: Backend, change: str) -> None:
    right = random_input(backend, 1)
    wrong = right[:, :-1] if change == "shape" else right.astype(np.float64)
    with pytest.raises(BackendError) as caught:
        backend.infer(wrong)
    assert "\n" not in str(caught.value)


def test_integers_say_how_they_are_quantized(backend: Backend) -> None:
    for spec in (backend.input, *backend.outputs):
        assert (spec.scale > 0) == (spec.dtype == np.int8)


@pytest.mark.parametrize("device", DEVICES)
def test_a_closed_backend_answers_no_more(device: BackendName) -> None:
    backend = open_backend(device, ModelStore().load("mtcnn_rnet", "refine"))
    batch = random_input(backend, 1)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(batch)


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_no_network_is_refused(device: BackendName) -> None:
    with pytest.raises(BackendError) as caught:
        open_backend(device, b"not a model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", DEVICES)
def test_the_batch_can_be_chosen(device: BackendName) -> None:
    with open_backend(device, ModelStore().load("mtcnn_rnet", "refine"), input_shape=(3, 24, 24, 3)) as backend:
        assert backend.input.shape[0] == 3
        assert {array.shape[0] for array in backend.infer(random_input(backend, 1))} == {3}


def test_auto_is_a_device_that_there_is() -> None:
    with open_backend("auto", ModelStore().load("mtcnn_rnet", "refine")) as backend:
        assert backend.name == "cpu"


def test_a_missing_interpreter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_interpreters(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith(("ai_edge_litert", "tflite_runtime")):
            raise ImportError(f"no module named {name}")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_interpreters)
    with pytest.raises(BackendError, match="pip install ai-edge-litert"):
        open_backend("cpu", b"")
