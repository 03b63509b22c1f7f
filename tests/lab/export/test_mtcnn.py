"""MTCNN's files agree with the networks that they were written from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_fer.errors import ModelError
from edge_fer.faces.detectors import open_detector
from edge_fer.faces.detectors.mtcnn.networks import quantize
from edge_fer.inference import open_backend
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.picture_spec import MtcnnInput
from edge_fer.lab.console import SilentReporter
from edge_fer.lab.export.calibration_mtcnn import cascade_inputs, measure_ranges
from edge_fer.lab.export.convert import check_agreement
from edge_fer.lab.export.equalize import equalize
from edge_fer.lab.export.mtcnn import export_mtcnn
from edge_fer.lab.model_folder import update_manifest
from edge_fer.lab.networks.mtcnn import MtcnnNet, p_net
from edge_fer.lab.realtime.mtcnn_reference import Expected, compare, renderings, total
from edge_fer.lab.tflite.graph import Graph
from edge_fer.lab.tflite.writer import IMAGE_RANGE, Range, trunk_names, write_mtcnn, write_mtcnn_int8
from edge_fer.lab.weights.mtcnn import MTCNN_NETS, load_mtcnn
from edge_fer.settings import DetectSettings
from edge_fer.types import Face

pytestmark = pytest.mark.lab

SHAPES = {
    "pnet": [(1, 12, 12, 3), (1, 45, 77, 3), (1, 100, 31, 3), (3, 20, 20, 3)],
    "rnet": [(1, 24, 24, 3), (9, 24, 24, 3)],
    "onet": [(1, 48, 48, 3), (4, 48, 48, 3)],
}


@pytest.fixture(scope="module")
def seen() -> dict[str, list[np.ndarray]]:
    return cascade_inputs({name: write_mtcnn(load_mtcnn(name)) for name in ("pnet", "rnet")})


@pytest.fixture(scope="module")
def ranges(seen: dict[str, list[np.ndarray]]) -> dict[str, dict[str, Range]]:
    return {name: measure_ranges(load_mtcnn(name), seen[name][::5]) for name in SHAPES}


@pytest.mark.parametrize("name", SHAPES)
def test_a_clean_graph_that_agrees_at_every_size(name: str) -> None:
    net = load_mtcnn(name)
    content = write_mtcnn(net)
    assert check_agreement(net, content, SHAPES[name]) < 1e-5
    operators = {node.name for node in Graph(content).nodes}
    assert operators <= {"CONV_2D", "PRELU", "MAX_POOL_2D", "FULLY_CONNECTED", "SOFTMAX"}
    assert write_mtcnn(net) == content


def test_another_net_is_noticed() -> None:
    with pytest.raises(ModelError, match="of PyTorch"):
        check_agreement(load_mtcnn("pnet"), write_mtcnn(p_net().eval()), [(1, 24, 24, 3)])


def test_a_layer_the_writer_does_not_know_is_refused() -> None:
    net = p_net()
    net.trunk.append(torch.nn.Tanh())
    with pytest.raises(TypeError, match="Tanh"):
        write_mtcnn(net)


def test_agreement_with_the_package() -> None:
    import joblib
    import mtcnn
    from mtcnn.network.onet import ONet

    keras_net = ONet()
    keras_net.build()
    keras_net.set_weights(joblib.load(Path(mtcnn.__file__).parent / "assets" / "weights" / "onet.lz4"))
    image = np.random.default_rng(0).uniform(-1, 1, (2, 48, 48, 3)).astype(np.float32)
    with open_backend("cpu", write_mtcnn(load_mtcnn("onet")), input_shape=image.shape) as backend:
        for ours, theirs in zip(backend.infer(image), keras_net(image), strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_equal_channels_compute_the_same(name: str, seen: dict[str, list[np.ndarray]]) -> None:
    net = load_mtcnn(name)
    batches = seen[name][::10]
    equal = equalize(net, batches)
    image = torch.from_numpy(batches[0]).permute(0, 3, 1, 2)
    with torch.no_grad():
        for ours, theirs in zip(equal(image), net(image), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        before, after = (some.trunk[0](image).abs().amax((0, 2, 3)) for some in (net, equal))
    assert after.max() / after.min() < before.max() / before.min()


@pytest.mark.parametrize("name", SHAPES)
def test_int8_is_integers_up_to_the_heads(name: str, ranges: dict[str, dict[str, Range]]) -> None:
    net = load_mtcnn(name)
    graph = Graph(write_mtcnn_int8(net, ranges[name]))
    assert graph.type(graph.inputs[0]) == "INT8"
    assert {graph.type(tensor) for tensor in graph.outputs} == {"FLOAT32"}
    names = [node.name for node in graph.nodes]
    trunk = names.index("DEQUANTIZE")
    assert names.count("DEQUANTIZE") == 1
    assert trunk == len(trunk_names(net))
    for node in graph.nodes[:trunk]:
        assert {graph.type(tensor) for tensor in (*node.inputs, *node.outputs)} <= {"INT8", "INT32"}
        if node.name == "CONV_2D":
            assert graph.scales(node.inputs[1]) == graph.shape(node.inputs[1])[0]
        if node.name in ("FULLY_CONNECTED", "PRELU"):
            assert graph.scales(node.inputs[1]) == 1
    assert names.count("PRELU") == sum(isinstance(layer, torch.nn.PReLU) for layer in net.trunk)


@pytest.mark.parametrize("name", SHAPES)
def test_int8_answers_like_float(
    name: str, seen: dict[str, list[np.ndarray]], ranges: dict[str, dict[str, Range]]
) -> None:
    """On what the nets see, scores agree on nearly every window; with ranges that fit nothing they do not."""
    net = load_mtcnn(name)
    batches = [batch for batch in seen[name] if batch.shape[1] <= 64][::10]
    too_narrow = dict.fromkeys(ranges[name], (-0.01, 0.01))
    files = [write_mtcnn_int8(net, measured) for measured in (ranges[name], too_narrow)]
    good, bad = (np.concatenate([scores_error(net, content, batch) for batch in batches]) for content in files)
    assert np.quantile(good, 0.9) < 0.1
    assert np.sqrt(np.mean(good**2)) < 0.5 * np.sqrt(np.mean(bad**2))


def scores_error(net: MtcnnNet, content: bytes, batch: np.ndarray) -> np.ndarray:
    """How far the face scores of a file are from those of its net, for every window."""
    with open_backend("cpu", content, input_shape=batch.shape) as backend:
        (found,) = (array for array in backend.infer(quantize(batch, backend.inputs[0])) if array.shape[-1] == 2)
    with torch.no_grad():
        scores = net(torch.from_numpy(batch).permute(0, 3, 1, 2))[-1]
    expected = scores.movedim(1, -1).numpy()
    return np.abs(found - expected)[..., 1].ravel()


def test_every_net_sees_enough_and_pooling_keeps_its_range(
    seen: dict[str, list[np.ndarray]], ranges: dict[str, dict[str, Range]]
) -> None:
    assert {name: batches[0].shape[-1] for name, batches in seen.items()} == dict.fromkeys(SHAPES, 3)
    assert sum(map(len, seen["rnet"])) > 500
    assert sum(map(len, seen["onet"])) > 50
    reach = max(np.abs(batch).max() for batches in seen.values() for batch in batches)
    assert 0.9 * IMAGE_RANGE[1] < reach < IMAGE_RANGE[1] + 1e-4
    found = ranges["onet"]
    assert list(found) == list(trunk_names(load_mtcnn("onet")))
    assert found["trunk/3"] == found["trunk/2"] != found["trunk/1"]


def test_the_manifest_keeps_other_models(tmp_path: Path) -> None:
    export_mtcnn(tmp_path, SilentReporter(), int8=True)
    store = ModelStore(tmp_path)
    spec = store.spec("mtcnn_pnet", "propose")
    assert spec.input.size is None
    assert (127.5 / 255 - spec.input.mean) / spec.input.std == pytest.approx(0)
    assert (1 - spec.input.mean) / spec.input.std == pytest.approx((255 - 127.5) / 128)
    update_manifest(tmp_path, {"another": spec})
    store = ModelStore(tmp_path)
    names = [f"mtcnn_{name}{kind}" for name in MTCNN_NETS for kind in ("", "_int8")]
    assert sorted(store.specs) == sorted(["another", *names])
    assert store.specs["mtcnn_pnet"] == spec
    assert store.load("mtcnn_pnet", "propose") == write_mtcnn(load_mtcnn("pnet"))
    assert spec.sha256[:16] in (tmp_path / spec.card).read_text()
    assert "Permission is hereby granted" in (tmp_path / "mtcnn.LICENSE").read_text()
    for name in names:
        entry = store.specs[name]
        card = (tmp_path / entry.card).read_text()
        assert entry.quantization == ("int8" if name.endswith("_int8") else "float32")
        assert ("## Quantization" in card) == ("without any change" not in card) == name.endswith("_int8")


def test_input_spec_of_the_nets_is_that_of_the_package() -> None:
    spec = MtcnnInput(size=None, colour="rgb", mean=0.5, std=128 / 255)
    for pixel in (0, 127, 255):
        assert (pixel / 255 - spec.mean) / spec.std == pytest.approx((pixel - 127.5) / 128)


def firm(faces: tuple[Face, ...]) -> Expected:
    return Expected(faces, (False,) * len(faces))


def landmark_errors(expected: tuple[Face, ...], found: tuple[Face, ...]) -> Iterator[np.ndarray]:
    """Distances of the five landmarks from those of the nearest face, pixels, `(5,)`, for each face that has one."""
    for face in expected:
        distances = [
            np.linalg.norm(np.subtract(face.landmarks.points, other.landmarks.points), axis=1) for other in found
        ]
        nearest = min(distances, key=np.mean, default=np.full(5, np.inf))
        if nearest.mean() < face.box.width / 4:
            yield nearest


@pytest.mark.slow
def test_int8_finds_the_faces_that_float_finds(tmp_path: Path) -> None:
    export_mtcnn(tmp_path, SilentReporter(), int8=True)
    store, pictures = ModelStore(tmp_path), dict(renderings())
    with (
        open_detector(DetectSettings(precision="float32"), store) as float32,
        open_detector(DetectSettings(precision="int8"), store) as int8,
    ):
        pairs = [(float32.find(image), int8.find(image)) for image in pictures.values()]
    agreement = total([compare(firm(expected), found) for expected, found in pairs])
    errors = np.concatenate([error for pair in pairs for error in landmark_errors(*pair)])
    assert agreement.expected >= 100
    assert agreement.recall >= 0.97
    assert agreement.precision >= 0.97
    assert len(errors) == 5 * agreement.matched
    assert errors.mean() <= 1.5
    assert np.mean(errors <= 3) >= 0.9
