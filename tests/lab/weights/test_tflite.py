"""Weights that come back out of a deployed classifier compute what it computes, and can be trained."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edge_fer.errors import ConfigError, ModelError, SourceError
from edge_fer.inference.model_store import ModelStore, packaged_folder
from edge_fer.lab.console import SilentReporter
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import Dataset, Split, hard
from edge_fer.lab.evaluation.logits import classify
from edge_fer.lab.networks.se_resnet50 import SEResNet50
from edge_fer.lab.tflite.graph import pack, read
from edge_fer.lab.training.augment import as_tensor, standardise
from edge_fer.lab.training.batch_norm import settle_on_faces, settle_statistics
from edge_fer.lab.training.initial_weights import initial_model, initial_weights
from edge_fer.lab.training.recipe import Recipe, Stage
from edge_fer.lab.training.recipe_files import load_recipe
from edge_fer.lab.weights.tflite import find_deployed, weights_from_tflite
from edge_fer.types import LABELS
from tests.lab.support.portraits import portrait_crop

pytestmark = pytest.mark.lab

SHIPPED = packaged_folder() / "se_resnet50.tflite"


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shipped() -> SEResNet50:
    return weights_from_tflite(SHIPPED, SEResNet50)


def faces_of_a_portrait(count: int, size: int) -> NDArray[np.uint8]:
    """One face, brighter and darker, larger and smaller, turned both ways."""
    rng = np.random.default_rng(0)
    portrait = cv2.resize(portrait_crop(), (size, size), interpolation=cv2.INTER_CUBIC)
    faces = []
    for _ in range(count):
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(-25, 25), rng.uniform(0.8, 1.4))
        turned = cv2.warpAffine(portrait, turn, (size, size), borderMode=cv2.BORDER_REPLICATE)
        faces.append(np.clip(turned * rng.uniform(0.5, 1.2), 0, 255).astype(np.uint8))
    return np.stack(faces)


def logits(net: nn.Module, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    images = standardise(as_tensor(list(faces)), SEResNet50.INPUT)
    with torch.no_grad():
        return torch.cat([net(some) for some in images.split(16)]).numpy()


def deployed_logits(faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    store = ModelStore()
    spec = store.spec("se_resnet50", "classify")
    return classify(store.load("se_resnet50", "classify"), faces, spec.input)


def test_the_network_computes_what_the_file_computes(shipped: SEResNet50) -> None:
    """Activations are not rounded in PyTorch, so logits (of a spread of some nats) differ by less than a tenth."""
    faces = faces_of_a_portrait(6, 192)
    found, expected = logits(shipped, faces), deployed_logits(faces)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.15
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


@pytest.mark.shared
def test_both_name_the_same_expression(shipped: SEResNet50, shared: Path) -> None:
    validation = open_dataset(shared / "data" / "ferplus.npz").only(Split.VALIDATION)
    faces = np.stack([cv2.resize(validation.images[index], (192, 192)) for index in range(100)])
    same = logits(shipped, faces).argmax(axis=1) == deployed_logits(faces).argmax(axis=1)
    assert same.mean() >= 0.98


def test_every_filter_has_a_length_of_one(shipped: SEResNet50) -> None:
    block: Any = shipped.stage5.block3
    for layer in (shipped.stem, block.reduce, block.expand):
        lengths = layer.conv.weight.flatten(1).norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_settling_changes_nothing_but_what_training_starts_from(shipped: SEResNet50) -> None:
    net = copy.deepcopy(shipped)
    faces = faces_of_a_portrait(8, 64)
    images = standardise(as_tensor(list(faces)), SEResNet50.INPUT)
    before = logits(net, faces)
    unsettled = _in_training(net, images)
    settle_statistics(net, [images[:3], images[3:]])
    np.testing.assert_allclose(logits(net, faces), before, atol=2e-3)
    np.testing.assert_allclose(_in_training(net, images), before, atol=2e-2)
    assert np.abs(unsettled - before).max() > 1, "statistics of the batch should have mattered before"


def _in_training(net: SEResNet50, images: torch.Tensor) -> NDArray[np.float32]:
    """Logits with the statistics of the batch, without dropout; the network stays as it was."""
    trained = copy.deepcopy(net).train()
    trained.dropout.eval()
    with torch.no_grad():
        return trained(images).numpy()


def test_settling_knows_norms_that_have_worked_before() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.BatchNorm2d(4))
    with torch.no_grad():
        for norm in (net[1], net[4]):
            for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                values.uniform_(0.3, 2)
    images = torch.randn(6, 3, 9, 9)
    before = net.eval()(images)
    settle_statistics(net, [images])
    torch.testing.assert_close(net(images), before, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net[1].running_mean, net[0](images).mean(dim=(0, 2, 3)))
    torch.testing.assert_close(net[1].running_var, net[0](images).var(dim=(0, 2, 3), correction=0))


def test_settling_needs_faces() -> None:
    with pytest.raises(SourceError, match=r"expected faces to take batch-norm statistics from, found none"):
        settle_statistics(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)), [])


def bars(count: int) -> Dataset:
    labels = np.arange(count) % len(LABELS)
    return hard("portrait", faces_of_a_portrait(count, 48), labels, np.zeros(count, np.uint8), {})


def test_settling_goes_by_the_stage(shipped: SEResNet50) -> None:
    told: list[tuple[int, int]] = []
    net = copy.deepcopy(shipped)
    stage = Stage(name="all", size=32, batch=4, epochs=1, lr=1e-4)
    settle_on_faces(net, bars(6), stage, 0, 10, lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert net.resolution == 32
    assert float(net.stem.bn.running_var.min()) != 1.0


def test_training_starts_from_a_deployed_model(shipped: SEResNet50) -> None:
    recipe = Recipe(name="x", stages=(Stage(name="all", size=32, batch=8, epochs=1, lr=1e-4),))
    model = initial_model(initial_weights(Path("se_resnet50"), recipe), recipe, {"faces": bars(8)}, SilentReporter())
    assert model.second is None
    assert model.origin is not None
    assert model.origin.licence == ModelStore().spec("se_resnet50", "classify").licence
    faces = faces_of_a_portrait(2, 192)
    model.net.resolution = shipped.resolution
    np.testing.assert_allclose(logits(model.net.eval(), faces), logits(shipped, faces), atol=2e-3)


def test_what_goes_on_from_trained_weights_is_not_begun_without() -> None:
    recipe = load_recipe("finetune")
    with pytest.raises(ConfigError, match=r"recipe finetune, .* found none; give --weights with a file of se_resnet50"):
        initial_weights(None, recipe)
    random = initial_weights(None, load_recipe("edge"))
    assert (random.trained, random.origin) == (False, None)


def test_a_name_that_is_neither_shipped_nor_a_file_is_told_with_those_that_are() -> None:
    with pytest.raises(
        ModelError, match=r"shipped classifier \(there is: lite, lite_128, se_resnet50\), found no `nope`"
    ):
        initial_weights(Path("nope"), load_recipe("finetune"))


def test_the_origin_goes_from_one_training_to_the_next(tmp_path: Path) -> None:
    recipe = Recipe(name="x", stages=(Stage(name="all", size=32, batch=8, epochs=1, lr=1e-4),))
    first = initial_weights(Path("se_resnet50"), recipe)
    model = initial_model(replace(first, deployed=None), recipe, {}, SilentReporter())
    model.save(tmp_path / "best.npz")
    assert first.origin is not None
    assert first.origin.source.startswith("trained further from se_resnet50 (")
    assert initial_weights(tmp_path / "best.npz", recipe).origin == first.origin
    (tmp_path / "copy.tflite").write_bytes((packaged_folder() / "se_resnet50.tflite").read_bytes())
    assert initial_weights(tmp_path / "copy.tflite", recipe).origin is None, "nothing beside it says what it is"


def test_a_deployed_model_has_a_file_or_a_name(tmp_path: Path) -> None:
    assert find_deployed(tmp_path / "a.tflite") == tmp_path / "a.tflite"
    assert find_deployed(Path("se_resnet50")) == SHIPPED
    assert find_deployed(Path("mtcnn_pnet")) is None
    assert find_deployed(tmp_path / "weights.npz") is None


def changed(tmp_path: Path, change: Any) -> Path:
    """The shipped file with something changed in its one graph."""
    model = read(SHIPPED.read_bytes())
    change(model, model.subgraphs[0])
    (tmp_path / "changed.tflite").write_bytes(pack(model))
    return tmp_path / "changed.tflite"


def _narrow(model: Any, graph: Any) -> None:
    """The second convolution loses its last filter."""
    node = [operator for operator in graph.operators if len(operator.inputs) == 3][1]
    tensor = graph.tensors[node.inputs[1]]
    tensor.shape = np.array([tensor.shape[0] - 1, *tensor.shape[1:]], np.int32)


def _strided(model: Any, graph: Any) -> None:
    _first(model, graph, "CONV_2D").builtinOptions.strideH = 1


def _shorter(model: Any, graph: Any) -> None:
    graph.operators.pop()


def _without_an_addition(model: Any, graph: Any) -> None:
    graph.operators = [operator for operator in graph.operators if operator is not _first(model, graph, "ADD")]


def _first(model: Any, graph: Any, name: str) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    code = getattr(schema.BuiltinOperator, name)
    return next(each for each in graph.operators if model.operatorCodes[each.opcodeIndex].builtinCode == code)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_narrow, r"expected weights \(256, 1, 1, 64\) and stride 1 for the layer stage2\.block1\.shortcut\.conv in "
                  r".*changed\.tflite, found CONV_2D with \(255, 1, 1, 64\)"),
        (_strided, r"\(64, 7, 7, 3\) and stride 2 for the layer stem\.conv .* and stride 1; this is another network"),
        (_shorter, r"expected 87 layers with weights in .*, found 86"),
        (_without_an_addition, r"expected 16 ADD in .*changed\.tflite, as in this lab's se_resnet50, found 15; start"),
    ],
)  # fmt: skip
def test_another_network_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        weights_from_tflite(changed(tmp_path, change), SEResNet50)
    assert "\n" not in str(caught.value)


def test_a_network_that_averages_first_looks_at_less(shipped: SEResNet50, tmp_path: Path) -> None:
    def average_nothing(model: Any, graph: Any) -> None:
        pool = _first(model, graph, "AVERAGE_POOL_2D")
        graph.operators[graph.operators.index(pool) + 1].inputs[0] = pool.inputs[0]
        graph.operators.remove(pool)

    assert shipped.resolution == 64
    assert weights_from_tflite(changed(tmp_path, average_nothing), SEResNet50).resolution == 192


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a \.tflite file at .*none\.tflite, found: No such file"):
        weights_from_tflite(tmp_path / "none.tflite", SEResNet50)
    (tmp_path / "text.tflite").write_bytes(b"not a model at all")
    with pytest.raises(ModelError, match=r"text\.tflite: expected a \.tflite file"):
        weights_from_tflite(tmp_path / "text.tflite", SEResNet50)
    (tmp_path / "half.tflite").write_bytes(SHIPPED.read_bytes()[:1_000_000])
    with pytest.raises(ModelError, match=r"half\.tflite: expected a whole \.tflite file, found one of 1000000 bytes"):
        weights_from_tflite(tmp_path / "half.tflite", SEResNet50)


def test_the_second_of_mtcnns_nets_is_no_classifier() -> None:
    with pytest.raises(ModelError, match=r"expected \d+ \w+ in .*mtcnn_rnet\.tflite, as in this lab's se_resnet50"):
        weights_from_tflite(packaged_folder() / "mtcnn_rnet.tflite", SEResNet50)
