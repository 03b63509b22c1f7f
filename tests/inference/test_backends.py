"""The contract of a backend, over every device that this machine has or can fake."""

from __future__ import annotations

import builtins
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fer.common.backoff import Backoff
from edge_fer.errors import BackendError, ModelError
from edge_fer.inference import Backend, cpu, open_backend, simulated
from edge_fer.inference.edgetpu.backend import CompiledModel, EdgeTpuBackend, EdgeTpuOptions
from edge_fer.inference.edgetpu.devices import list_tpus
from edge_fer.inference.edgetpu.recovery import RecoveryPolicy
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.remote.backend import RemoteBackend, RemoteOptions
from edge_fer.inference.supervised import SupervisedBackend
from tests.support import onnx_networks
from tests.support.face_server import network_of, serving
from tests.support.fake_edgetpu import FakeEdgeTpu, library, twins

IN_PROCESS = ("cpu", "fake", "simulated")
DEVICES = (*IN_PROCESS, "remote", "edgetpu", "supervised")
TWO_INPUTS = 5  # values of the vector beside the picture
ONNX = {
    "onnx_float": onnx_networks.classifier(8),
    "onnx_two_inputs": onnx_networks.two_inputs(),
    "onnx_quantized": onnx_networks.quantized(),
}
Open = Callable[[str, str | bytes], Backend]


@cache
def network(name: str, device: str) -> bytes:
    """The content of a network's file, for a device.

    Args:
        name: `one_input`, `two_inputs`, one of `ONNX`, or that of a shipped network.
        device: its short name; an Edge TPU needs a compiled file.
    """
    if name in ONNX:
        return ONNX[name]
    shipped = ModelStore().specs.get(name)
    if shipped is not None:
        return ModelStore().load(name, shipped.task)
    cpu_file, compiled = twins(vector=TWO_INPUTS if name == "two_inputs" else 0)
    return cpu_file if device in (*IN_PROCESS, "remote") else compiled


@pytest.fixture(scope="module")
def open_device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Loads a network, by name or as a file's content, onto a device.

    A supervised one is a supervised Edge TPU; a remote one is the CPU behind a server.
    """
    servers = ExitStack()
    tpu = FakeEdgeTpu(tmp_path_factory.mktemp("tpu"))
    device = list_tpus(tpu.sysfs)[0]
    models: list[CompiledModel] = []

    def edgetpu(content: bytes, cancelled: Callable[[], bool] = lambda: False) -> EdgeTpuBackend:
        models.append(CompiledModel(content))
        options = EdgeTpuOptions(str(library()), deadline_s=10.0, start_deadline_s=30.0)
        return EdgeTpuBackend(device, models[-1], options, cancelled)

    def supervised(twin: Backend, content: bytes) -> SupervisedBackend:
        policy = RecoveryPolicy((), Backoff(0.01, 0.01), 0.01, 0)
        backend = SupervisedBackend(
            "edgetpu:usb:0", twin.inputs, twin.outputs, lambda stop: edgetpu(content, stop), lambda _: None, policy
        )
        backend.wait_until_opened()
        return backend

    def opened(name: str, model: str | bytes) -> Backend:
        if name in ("edgetpu", "supervised"):
            library()  # where it cannot be compiled, the test is skipped here and not in a thread
        content = model if isinstance(model, bytes) else network(model, name)
        if name == "simulated":
            return simulated.open_backend(content, 0.001)
        if name == "remote":
            there = network_of(open_backend("cpu", content, threads=2), content=content)
            served = servers.enter_context(serving([there]))
            return RemoteBackend(served.address(), served.model, "tensors", RemoteOptions(deadline_s=10.0))
        if name == "edgetpu":
            return edgetpu(content)
        if name == "supervised":
            with cpu.open_backend(network(str(model), "cpu"), 1, None) as twin:
                return supervised(twin, content)
        return open_backend(name, content, threads=2)

    with tpu.present(), servers:
        yield opened
    for model in models:
        model.close()


CASES = [
    *((device, network) for device in DEVICES for network in ("one_input", "two_inputs")),
    *((device, network) for device in (*IN_PROCESS, "remote") for network in ("mtcnn_rnet", "se_resnet50", *ONNX)),
]


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def backend(request: pytest.FixtureRequest, open_device: Open) -> Iterator[Backend]:
    with open_device(*request.param) as opened:
        yield opened


def random_inputs(backend: Backend, seed: int) -> list[np.ndarray[Any, Any]]:
    generator = np.random.default_rng(seed)
    arrays = [generator.integers(-100, 100, spec.shape) for spec in backend.inputs]
    return [
        (array / 100 if spec.scale == 0 else array).astype(spec.dtype)
        for array, spec in zip(arrays, backend.inputs, strict=True)
    ]


def test_outputs_are_what_the_specification_says(backend: Backend) -> None:
    outputs = backend.infer(*random_inputs(backend, 1))
    assert [(array.shape, array.dtype) for array in outputs] == [(spec.shape, spec.dtype) for spec in backend.outputs]
    assert all(np.isfinite(array).all() for array in outputs)


def test_equal_inputs_give_equal_outputs_and_others_do_not(backend: Backend) -> None:
    first = backend.infer(*random_inputs(backend, 1))
    other = backend.infer(*random_inputs(backend, 2))
    again = backend.infer(*random_inputs(backend, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_outputs_are_the_callers_own(backend: Backend) -> None:
    first = backend.infer(*random_inputs(backend, 1))
    kept = [array.copy() for array in first]
    backend.infer(*random_inputs(backend, 2))
    assert all((a == b).all() for a, b in zip(first, kept, strict=True))


@pytest.mark.parametrize("change", ["shape", "dtype", "missing", "surplus"])
def test_wrong_inputs_are_refused_in_one_line_and_harm_nobody(backend: Backend, change: str) -> None:
    right = random_inputs(backend, 1)
    last = right[-1]
    wrong = {
        "shape": [*right[:-1], last[:, :-1]], "dtype": [*right[:-1], last.astype(np.float64)],
        "missing": right[:-1], "surplus": [*right, last],
    }  # fmt: skip
    with pytest.raises(BackendError) as caught:
        backend.infer(*wrong[change])
    assert "\n" not in str(caught.value)
    backend.infer(*right)


def test_each_input_counts(backend: Backend) -> None:
    first, other = random_inputs(backend, 1), random_inputs(backend, 2)
    answers = [backend.infer(*first)]
    for place in range(len(first)):
        answers.append(backend.infer(*first[:place], other[place], *first[place + 1 :]))
    for one, two in itertools.combinations(answers, 2):
        assert any((a != b).any() for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("device", ["cpu", "remote", "edgetpu", "supervised"])
def test_two_inputs_come_in_their_order(device: str, open_device: Open) -> None:
    with open_device(device, "two_inputs") as backend:
        picture, vector = random_inputs(backend, 3)
        (answer,) = backend.infer(picture, vector)
    assert [spec.name for spec in backend.inputs] == ["input", "vector"]
    np.testing.assert_array_equal(answer, np.concatenate([picture[:, 28, ::8, 0], vector], axis=1))


def test_integers_say_how_they_are_quantized(backend: Backend) -> None:
    for spec in (*backend.inputs, *backend.outputs):
        assert (spec.scale > 0) == (spec.dtype == np.int8)


@pytest.mark.parametrize("device", DEVICES)
def test_a_closed_backend_answers_no_more(device: str, open_device: Open) -> None:
    backend = open_device(device, "one_input")
    inputs = random_inputs(backend, 1)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(*inputs)


@pytest.mark.parametrize("device", ["cpu", "fake", "edgetpu"])
@pytest.mark.parametrize("content", [b"not a model", b"not a model, for all its edgetpu-custom-op"])
def test_what_is_no_network_is_refused(device: str, content: bytes, open_device: Open) -> None:
    with pytest.raises(BackendError if device == "edgetpu" else ModelError) as caught:
        open_device(device, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["cpu", "fake"])
@pytest.mark.parametrize(
    ("content", "shape"),
    [
        (ModelStore().load("mtcnn_rnet", "refine"), (3, 24, 24, 3)),
        (onnx_networks.classifier(8, batch="N"), (3, 3, 16, 16)),
    ],
    ids=["tflite", "onnx"],
)
def test_the_batch_can_be_chosen(device: str, content: bytes, shape: tuple[int, ...]) -> None:
    with open_backend(device, content, input_shape=shape) as backend:
        assert backend.inputs[0].shape[0] == 3
        assert {array.shape[0] for array in backend.infer(*random_inputs(backend, 1))} == {3}


def test_auto_is_a_device_that_runs_any_network() -> None:
    with open_backend("auto", ModelStore().load("mtcnn_rnet", "refine")) as backend:
        assert backend.name == "cpu"


@pytest.mark.parametrize("threads", [1, 3])
def test_onnx_uses_as_many_threads_as_it_is_told(threads: int) -> None:
    before = len(list(Path("/proc/self/task").iterdir()))
    with open_backend("cpu", ONNX["onnx_float"], threads=threads):
        assert len(list(Path("/proc/self/task").iterdir())) - before == threads - 1


def test_onnx_leaves_the_batch_to_us_and_no_other_size() -> None:
    with open_backend("cpu", onnx_networks.classifier(8, batch="N")) as backend:
        assert (backend.inputs[0].shape, backend.outputs[0].shape) == ((1, 3, 16, 16), (1, 8))
    content = onnx_networks.network("net (float[1,3,H,W] x) => (float[1,3,1,1] y) { y = GlobalAveragePool(x) }")
    with pytest.raises(ModelError, match=r"fixed size, found \[1, 3, 'H', 'W'\] `x`; export the network"):
        open_backend("cpu", content)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ("net (string[1] x) => (string[1] y) { y = Identity(x) }", "expected an input of numbers"),
        (
            "net (float[1] x) => (seq(float[1]) y) { y = SequenceConstruct(x) }",
            "arrays as outputs, found list",
        ),
        ("net (float[1,3] x, float[3] z) => (float y) { y = Bogus(x, z) }", "runs on the CPU, found: .*Bogus"),
    ],
)
def test_onnx_of_another_kind_is_refused(graph: str, message: str) -> None:
    model = onnx_networks.onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph}')
    with pytest.raises(ModelError, match=message) as caught:
        open_backend("cpu", model.SerializeToString())
    assert "\n" not in str(caught.value)


def test_an_edge_tpu_runs_no_onnx() -> None:
    with pytest.raises(BackendError, match="found an ONNX file, which only the CPU runs"):
        CompiledModel(ONNX["onnx_float"])


def test_without_onnxruntime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"; pip install '\.\[onnx\]' in its checkout"):
        open_backend("cpu", ONNX["onnx_float"])


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
