"""What the child process of an Edge TPU replies is what was agreed, or the device is out of service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fer.errors import BackendError
from edge_fer.inference.edgetpu import backend
from edge_fer.inference.edgetpu.devices import Tpu

TENSOR = {"name": "x", "shape": [1, 4, 4, 3], "dtype": "int8", "scale": 0.5, "zero_point": -3}
NETWORK = {"inputs": [TENSOR], "outputs": [{**TENSOR, "shape": [1, 7]}]}

NETWORKS = {"networks": [NETWORK]}


class Child:
    """In place of the child process: replies what it is told."""

    info: Any = NETWORKS
    killed = 0

    def __init__(self, *_arguments: object, **_more: object) -> None: ...

    def start(self, _deadline_s: float, **_arguments: object) -> Any:
        return Child.info

    def call(self, _method: str, **_arguments: object) -> Any:
        return {"more": 1}

    def memory(self, size: int) -> memoryview:
        return memoryview(bytearray(size))

    def kill(self) -> None:
        Child.killed += 1

    def close(self, _deadline_s: float) -> None: ...


@pytest.fixture(autouse=True)
def child(monkeypatch):
    monkeypatch.setattr(backend, "Worker", Child)
    monkeypatch.setattr(Child, "killed", 0)


def open_it() -> backend.EdgeTpuBackend:
    with backend.CompiledModel(b"edgetpu-custom-op") as model:
        return backend.EdgeTpuBackend(Tpu("usb", 0, Path("/sys/1-1")), model)


def test_a_network_as_it_was_agreed_runs():
    with open_it() as opened:
        assert [spec.shape for spec in (*opened.inputs, *opened.outputs)] == [(1, 4, 4, 3), (1, 7)]
        assert opened.infer(np.zeros((1, 4, 4, 3), np.int8))[0].shape == (1, 7)


@pytest.mark.parametrize(
    "info",
    [
        {}, {**NETWORK, "more": 1}, {**NETWORK, "inputs": []}, {**NETWORK, "outputs": [TENSOR] * 17},
        *({**NETWORK, "inputs": [{**TENSOR, **wrong}]} for wrong in (
            {"shape": [0]}, {"shape": [-1, 4]}, {"shape": [1 << 40]}, {"shape": [1 << 20] * 8}, {"shape": "x"},
            {"dtype": "object"}, {"dtype": "float128"}, {"scale": float("nan")}, {"scale": "1"}, {"name": 7},
            {"zero_point": 1 << 40}, {"shape": [1] * 9},
        )),
    ],
)  # fmt: skip
def test_any_other_network_is_refused_and_its_child_ended(monkeypatch, info):
    refuses(monkeypatch, {"networks": [info]})


@pytest.mark.parametrize("info", [NETWORK, {"networks": []}, {"networks": [NETWORK] * 2}, {"networks": NETWORK}])
def test_another_number_of_networks_is_refused(monkeypatch, info):
    refuses(monkeypatch, info)


def refuses(monkeypatch, info):
    monkeypatch.setattr(Child, "info", info)
    with pytest.raises(BackendError, match=r"gave a wrong reply|expected a network of at most|expected 1 networks"):
        open_it()
    assert Child.killed == 1
