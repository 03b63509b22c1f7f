"""Files that are written agree with the networks that they were written from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge_fer.backends import open_backend
from edge_fer.errors import ConfigError, ModelError, OutputError
from edge_fer.lab.cli import export
from edge_fer.lab.data import Usage
from edge_fer.lab.export import CLASSIFIER, Recipe, check_agreement, export_classifier, export_mtcnn
from edge_fer.lab.graph import Graph
from edge_fer.lab.manifest import update_manifest, write_artefact
from edge_fer.lab.networks import SEResNet50, p_net
from edge_fer.lab.report import SilentReporter
from edge_fer.lab.rules import check_int8
from edge_fer.lab.weights import load_mtcnn
from edge_fer.lab.writer import write_mtcnn
from edge_fer.models import InputSpec, ModelSpec, ModelStore
from edge_fer.types import LABELS
from tests.lab.portraits import portrait_crop
from tests.lab.untrained import named_arrays

pytestmark = pytest.mark.lab

SHAPES = {
    "pnet": [(1, 12, 12, 3), (1, 45, 77, 3), (1, 100, 31, 3), (3, 20, 20, 3)],
    "rnet": [(1, 24, 24, 3), (9, 24, 24, 3)],
    "onet": [(1, 48, 48, 3), (4, 48, 48, 3)],
}


@pytest.mark.parametrize("name", SHAPES)
def test_mtcnn_is_a_clean_graph_that_agrees_at_every_size(name: str) -> None:
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


def test_mtcnn_agrees_with_the_package(tmp_path: Path) -> None:
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


def test_the_manifest_keeps_other_models(tmp_path: Path) -> None:
    export_mtcnn(tmp_path, SilentReporter())
    spec = ModelStore(tmp_path).spec("mtcnn_pnet", "propose")
    assert spec.input.size is None
    assert (127.5 / 255 - spec.input.mean) / spec.input.std == pytest.approx(0)
    assert (1 - spec.input.mean) / spec.input.std == pytest.approx((255 - 127.5) / 128)
    update_manifest(tmp_path, {"another": spec})
    store = ModelStore(tmp_path)
    assert sorted(store.specs) == ["another", "mtcnn_onet", "mtcnn_pnet", "mtcnn_rnet"]
    assert store.specs["mtcnn_pnet"] == spec
    assert store.load("mtcnn_pnet", "propose") == write_mtcnn(load_mtcnn("pnet"))
    assert spec.sha256[:16] in (tmp_path / spec.card).read_text()
    assert "Permission is hereby granted" in (tmp_path / "mtcnn.LICENSE").read_text()


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="choose another --out"):
        write_artefact(tmp_path / "file" / "models", "x", b"")


def test_the_classifier_needs_weights_and_data() -> None:
    with pytest.raises(ConfigError, match="--no-classifier"):
        export(mtcnn=False)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """An untrained network in a file like the trained one's."""
    torch.manual_seed(0)
    np.savez(tmp_path / "weights.npz", **named_arrays(SEResNet50()))
    return tmp_path / "weights.npz"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """The same face at ten brightnesses: six times for calibration, four for validation."""
    x = np.stack([portrait_crop() // 2 + 5 * index for index in range(10)]).astype(np.uint8)
    votes = np.zeros((10, 10), np.uint8)
    votes[np.arange(10), np.arange(10) % 7] = 10
    np.savez(tmp_path / "faces.npz", x=x, votes=votes, usage=[Usage.TRAINING] * 6 + [Usage.VALIDATION] * 4)
    return tmp_path / "faces.npz"


@pytest.mark.filterwarnings("ignore")  # the converter's own, from half a dozen libraries
def test_the_classifier_from_weights_to_card(tmp_path: Path, weights: Path, faces: Path) -> None:
    folder = tmp_path / "models"
    export_classifier(weights, faces, folder, Recipe(faces=4, seed=0), SilentReporter())
    store = ModelStore(folder)
    spec = store.spec(CLASSIFIER, "classify")
    content = store.load(CLASSIFIER, "classify")
    graph = check_int8(content)
    assert {node.name for node in graph.nodes}.isdisjoint({"TRANSPOSE", "PADV2", "RESHAPE", "QUANTIZE", "DEQUANTIZE"})
    assert spec.labels == LABELS
    assert spec.accuracy is not None
    assert spec.accuracy.images == 4
    with open_backend("cpu", content) as backend:
        source, target = backend.input, backend.outputs[0]
    assert (source.shape, target.shape) == ((1, 224, 224, 3), (1, 7))
    pixels = np.arange(256)
    quantized = np.rint((pixels / 255 - spec.input.mean) / spec.input.std / source.scale) + source.zero_point
    assert np.abs(quantized - (pixels - 128)).max() <= 1
    card = (folder / spec.card).read_text()
    assert all(f"| {label} |" in card for label in LABELS)


def test_input_spec_of_the_nets_is_that_of_the_package() -> None:
    spec = InputSpec(size=None, colour="rgb", mean=0.5, std=128 / 255)
    for pixel in (0, 127, 255):
        assert (pixel / 255 - spec.mean) / spec.std == pytest.approx((pixel - 127.5) / 128)


def test_a_spec_survives_the_manifest(tmp_path: Path) -> None:
    fields = write_artefact(tmp_path, "net", b"content")
    spec = ModelSpec(
        task="refine", input=InputSpec(size=24, colour="rgb", mean=0.5, std=0.5), quantization="float32",
        source="here", licence="MIT", **fields,
    )  # fmt: skip
    update_manifest(tmp_path, {"net": spec})
    assert ModelStore(tmp_path).specs == {"net": spec}
    assert ModelStore(tmp_path).load("net", "refine") == b"content"
