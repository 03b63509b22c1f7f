"""Networks that read hand-made features beside the picture: their size, their gradients, and the whole way to a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from edge_fer.errors import ConfigError, ModelError
from edge_fer.expression.face_features import FEATURES, small_face
from edge_fer.expression.feature_branch import BranchLayers
from edge_fer.expression.landmarks import open_landmarks
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab import networks
from edge_fer.lab.cli.app import app
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import Split, read_picture
from edge_fer.lab.datasets.landmarks import find_landmarks, save_landmarks, with_landmarks
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.evaluation.contenders import find_artefact
from edge_fer.lab.export.convert import parameters
from edge_fer.lab.networks import open_network
from edge_fer.lab.networks.resnet50 import ResNet50
from edge_fer.lab.networks.two_inputs import TwoInputs
from edge_fer.lab.training.checkpoint import LAST
from edge_fer.lab.training.loop import Trainer
from edge_fer.lab.training.multi_task import MultiTaskModel, set_training
from edge_fer.lab.training.objective import cross_entropy
from edge_fer.lab.training.recipe import Stage
from edge_fer.lab.training.state import Options
from edge_fer.lab.weights.npz import Weights, load_weights, save_weights
from edge_fer.settings import ClassifySettings
from edge_fer.types import LABELS, AlignedFace, Image
from tests.lab.support.networks.tiny_inputs import TinyInputs
from tests.lab.support.networks.tiny_net import TinyNet
from tests.lab.support.portraits import portrait_crop
from tests.lab.training.test_loop import FailsAt, check_same, finish
from tests.lab.training.test_loop import faces as faces_with_bars
from tests.lab.training.test_loop import recipe as bars_recipe

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", autouse=True)
def _one_thread_and_two_networks_more(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("networks")
    for name in ("tiny_net.py", "tiny_inputs.py"):
        shutil.copy(Path(__file__).parents[1] / "support" / "networks" / name, folder)
    threads, places = torch.get_num_threads(), list(networks.__path__)
    torch.set_num_threads(1)
    networks.__path__.append(str(folder))
    yield
    networks.__path__[:] = places
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("name", "expected"), [("resnet50_features", 26_700_103), ("inception_resnet_v2_features", 57_432_999)]
)
def test_published_sizes(name: str, expected: int) -> None:
    with torch.device("meta"):
        net = open_network(name)()
    assert isinstance(net, TwoInputs)
    assert parameters(net) == expected
    assert parameters(net.branch) == 2_928_000


def tiny() -> TinyInputs:
    torch.manual_seed(0)
    net = TinyInputs()
    rng = np.random.default_rng(0)
    net.set_statistics(
        rng.normal(0.2, 0.1, FEATURES).astype(np.float32), rng.uniform(0.1, 3, FEATURES).astype(np.float32)
    )
    return net


def inputs(count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 3, 36, 36), torch.rand(count, FEATURES)


@pytest.mark.parametrize("part", ["top", "all"])
def test_gradients_reach_both_branches_and_the_trunk_unless_it_is_frozen(part: Any) -> None:
    model = MultiTaskModel(tiny(), None, 0.0)
    set_training(model, Stage(name="all", train=part, epochs=1, lr=1e-3))
    images, hand_made = inputs()
    cross_entropy(model(images, hand_made).logits, torch.eye(7)[:6]).backward()
    net = model.net
    for layer in (net.picture, net.branch.dense1, net.branch.dense2, net.head):
        assert layer.weight.grad.abs().sum() > 0
    assert (net.trunk.dense.weight.grad is None) == (part == "top")
    assert net.trunk.training == (part == "all")
    assert net.branch.training


def test_both_inputs_matter_and_one_alone_is_refused_in_one_line() -> None:
    net, (images, hand_made) = tiny().eval(), inputs()
    answers = net(images, hand_made)
    assert not torch.allclose(answers, net(images, hand_made.flip(0)))
    assert not torch.allclose(answers, net(images.flip(0), hand_made))
    with pytest.raises(ConfigError, match="expected hand-made features beside the pictures for tiny_inputs") as caught:
        net(images)
    assert "\n" not in str(caught.value)


def test_what_is_left_for_the_runtime_computes_the_same() -> None:
    model = MultiTaskModel(tiny(), None, 0.0)
    images, hand_made = inputs()
    for _ in range(3):  # batch norms with statistics of their own
        model(images, hand_made)
    net = model.net.eval()
    layers = BranchLayers(net.folded())
    with torch.no_grad():
        expected, features = net(images, hand_made).numpy(), net.trunk.features(images).numpy()
    found = [layers.logits(one, other) for one, other in zip(features, hand_made.numpy(), strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_come_back_with_the_statistics_and_a_trunk_may_come_alone(tmp_path: Path) -> None:
    net = tiny()
    net.set_resolution(48)
    save_weights(tmp_path / "both.npz", Weights(net))
    loaded = load_weights(tmp_path / "both.npz").net
    assert (loaded.resolution, loaded.trunk.resolution, loaded.side) == (48, 48, 48)
    np.testing.assert_array_equal(loaded.feature_mean, net.feature_mean)
    torch.testing.assert_close(loaded.branch.dense1.weight, net.branch.dense1.weight, atol=1e-4, rtol=1e-3)
    trunk = TinyNet(resolution=44)
    save_weights(tmp_path / "trunk.npz", Weights(trunk))
    over = load_weights(tmp_path / "trunk.npz", "tiny_inputs").net
    assert (over.resolution, over.trunk.resolution) == (44, 44)
    assert not over.has_statistics
    torch.testing.assert_close(over.trunk.dense.weight, trunk.dense.weight, atol=1e-3, rtol=1e-3)
    save_weights(tmp_path / "other.npz", Weights(ResNet50(0.125)))
    with pytest.raises(ModelError, match=r"expected weights of tiny_inputs in .*, found those of resnet50"):
        load_weights(tmp_path / "other.npz", "tiny_inputs")


RECIPE = {
    "name": "tiny-inputs",
    "ema": 0.9,
    "start": {"network": "tiny_inputs"},
    "stages": [
        {"name": "top", "train": "top", "size": 36, "batch": 8, "epochs": 1, "lr": 1e-3},
        {"name": "all", "size": 36, "batch": 8, "epochs": 2, "lr": 1e-3,
         "loss": {"mixup": 0.2, "distillation": 0.2}, "augmentation": {"flip": 0.5}},
    ],
}  # fmt: skip


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def made_points(face: Image) -> np.ndarray:
    """Landmarks in a ring that is larger in a brighter face."""
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return 24 + (8 + face.mean() / 30) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces, their landmarks, a trained network, and the folder of models that was made of all that."""
    folder, face = tmp_path_factory.mktemp("journey"), portrait_crop()
    for split, count in {"train": 3, "valid": 1}.items():
        for label, name in enumerate(LABELS):
            for number in range(count):
                path = folder / "faces" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), np.asarray(face // 2 + 10 * label + 2 * number, np.uint8))
    faces = open_dataset(folder / "faces")
    save_landmarks(folder / "points.npz", faces, find_landmarks(faces, made_points), "a test")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    run("lm68", folder / "faces", "--landmarks", folder / "points.npz", "--out", folder / "models", "--minutes", "0.05")
    command = ("train", folder / "recipe.yaml", "--data", folder / "faces", "--landmarks", folder / "points.npz",
               "--device", "cpu", "--out", folder / "run")  # fmt: skip
    run(*command)
    run(*command, "--resume")
    run("export", "--no-mtcnn", "--weights", folder / "run" / LAST, "--data", folder / "faces", "--out",
        folder / "models", "--name", "mine", "--faces", "8", "--chosen-on", "4")  # fmt: skip
    return folder


def test_the_file_holds_the_trunk_in_int8_and_the_rest_lies_beside_it(folder: Path) -> None:
    store = ModelStore(folder / "models")
    spec, graph = store.spec("mine", "classify"), check_int8(store.load("mine", "classify"))
    assert spec.branch is not None
    assert spec.features is not None
    assert [graph.shape(tensor)[-1] for tensor in graph.outputs] == [spec.features.width] == [12]
    assert spec.branch.landmarks == "lm68"
    assert [file.file for file in spec.files] == ["mine.tflite", "mine.npz"]
    assert check_int8(store.load("lm68", "landmarks"))
    card = (folder / "models" / "mine.md").read_text()
    assert "| output | 12 features of the picture; of these and of the second input 7 logits" in card
    assert "2,728 hand-made features" in card
    assert "iBUG 300-W" in (folder / "models" / "lm68.md").read_text()


def test_the_runtime_reads_what_the_network_reads(folder: Path) -> None:
    store, net = ModelStore(folder / "models"), load_weights(folder / "run" / LAST).net
    faces = open_dataset(folder / "faces").only(Split.VALIDATION)
    with open_expression_model(ClassifySettings(model="mine", backend="cpu"), store) as model:
        assert model.origin.model == "mine"
        for index in range(len(faces)):
            face = resize(read_picture(faces.images, index, colour=False), model.size)
            found = model.classify(AlignedFace.of_crop(face)).probabilities
            hand_made = model.branch.hand_made(face)
            image = torch.from_numpy(((face / 255 - 0.5) / 0.25).astype(np.float32)).expand(1, 3, -1, -1)
            with torch.no_grad():
                logits = net(image, torch.from_numpy(hand_made)[None])[0]
            expected = torch.softmax(logits / store.spec("mine", "classify").temperature, 0).numpy()
            np.testing.assert_allclose(found, expected, atol=0.05)
            assert np.abs(hand_made[:136].reshape(68, 2) - made_points(small_face(face))).mean() < 3


def test_an_evaluation_finds_what_the_export_measured(folder: Path) -> None:
    out = folder / "evaluation"
    run("evaluate", "--models", folder / "models", "--model", "mine", "--data", folder / "faces", "--mode", "crops",
        "--out", out)  # fmt: skip
    result = json.loads((out / "evaluation.json").read_text())["modes"][0]["model"]
    export = json.loads((folder / "models" / "mine.export.json").read_text())
    assert result["accuracy"]["value"] == pytest.approx(export["validation"]["int8"])


def test_the_cost_of_each_layer_is_that_of_the_trunk(folder: Path) -> None:
    text = run("layers", "--weights", folder / "run" / LAST, "--models", folder / "models", "--model", "mine",
               "--data", folder / "faces", "--faces", "4", "--out", folder / "layers")  # fmt: skip
    assert "CONV_2D" in text


def test_its_answers_are_explained_by_the_maps_of_the_trunk(folder: Path) -> None:
    out = folder / "pages"
    run("explain", "--weights", folder / "run" / LAST, "--models", folder / "models", "--model", "mine", "--data",
        folder / "faces", "--per-class", "1", "--out", out)  # fmt: skip
    assert "trunk.stem" in (out / "index.html").read_text()


def manifest_without(folder: Path, target: Path, entry: str) -> Path:
    shutil.copytree(folder / "models", target)
    manifest = yaml.safe_load((target / "manifest.yaml").read_text())
    del manifest["models"][entry]
    (target / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return target


def test_without_a_network_of_landmarks_it_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    models = manifest_without(folder, tmp_path / "models", "lm68")
    with pytest.raises(ModelError, match="`mine` reads 68 landmarks beside the picture: expected a model for") as one:
        open_expression_model(ClassifySettings(model="mine", backend="cpu"), ModelStore(models))
    with pytest.raises(ModelError, match="expected a network of landmarks in the folder of the artefacts") as other:
        run("export", "--no-mtcnn", "--weights", folder / "run" / LAST, "--data", folder / "faces", "--out", models,
            "--faces", "8")  # fmt: skip
    assert "\n" not in str(one.value) + str(other.value)


def test_a_training_needs_the_landmarks_and_another_has_no_use_for_them(folder: Path, tmp_path: Path) -> None:
    command = ("train", folder / "recipe.yaml", "--data", folder / "faces", "--device", "cpu", "--out", tmp_path)
    with pytest.raises(ConfigError, match="expected --landmarks for tiny_inputs, which reads hand-made features"):
        run(*command)
    with pytest.raises(ConfigError, match="expected no --landmarks for tiny_net, which reads the picture alone"):
        run(*command, "--set", "start.network=tiny_net", "--landmarks", folder / "points.npz")


def test_a_run_goes_on_only_with_the_same_landmarks(folder: Path, tmp_path: Path) -> None:
    faces = open_dataset(folder / "faces")
    save_landmarks(tmp_path / "others.npz", faces, find_landmarks(faces, made_points) + 1, "a test")
    with pytest.raises(ConfigError, match="expected the recipe, the data and the first weights"):
        run("train", folder / "recipe.yaml", "--data", folder / "faces", "--landmarks", tmp_path / "others.npz",
            "--device", "cpu", "--out", folder / "run", "--resume")  # fmt: skip


def changed(folder: Path, target: Path, **arrays: np.ndarray | None) -> ModelStore:
    """The folder with other dense layers, and their hash."""
    import hashlib

    shutil.copytree(folder / "models", target)
    with np.load(target / "mine.npz") as found:
        content = {**found, **arrays}
    np.savez(target / "mine.npz", **{name: array for name, array in content.items() if array is not None})
    manifest = yaml.safe_load((target / "manifest.yaml").read_text())
    digest = hashlib.sha256((target / "mine.npz").read_bytes()).hexdigest()
    manifest["models"]["mine"]["branch"]["sha256"] = digest
    (target / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return ModelStore(target)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"head.bias": None}, "found no matrix and bias of `head`"),
        ({"dense1.weight": np.zeros((1024, 2727), np.float32)}, "found others, from"),
        ({"head.weight": np.full((7, 256), np.nan, np.float32)}, "expected float32 numbers in `head.weight`"),
        ({"head.bias": np.zeros(7)}, "expected float32 numbers in `head.bias`"),
    ],
)
def test_dense_layers_that_do_not_fit_are_told(
    folder: Path, tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    store = changed(folder, tmp_path / "models", **arrays)
    with pytest.raises(ModelError, match=message) as caught:
        open_expression_model(ClassifySettings(model="mine", backend="cpu"), store)
    assert "\n" not in str(caught.value)


def test_dense_layers_that_were_changed_are_found_by_their_hash(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "models", tmp_path / "models")
    (tmp_path / "models" / "mine.npz").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"expected .*mine\.npz with sha256"):
        open_expression_model(ClassifySettings(model="mine", backend="cpu"), ModelStore(tmp_path / "models"))


def test_landmarks_follow_the_jitter_of_the_face() -> None:
    from edge_fer.lab.training.landmarks import MIRRORED, jittered

    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform(14, 34, (1, 68, 2)).astype(np.float32)).expand(16, -1, -1)
    pictures = torch.zeros(16, 1, 48, 48)
    x, y = points[0, 0]
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    pictures[:, 0] = 255 * torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)
    images, moved = jittered(pictures, points, rng)
    for image, found in zip(images[:, 0], moved, strict=True):
        weights = image / image.sum()
        middle = torch.stack([(weights * columns).sum(), (weights * rows).sum()])
        distance = torch.linalg.norm(found - middle, dim=1)
        assert float(min(distance[0], distance[MIRRORED[0]])) < 0.3
    assert sorted(MIRRORED) == list(range(68))
    assert (MIRRORED[MIRRORED] == np.arange(68)).all()


def test_a_teacher_with_two_inputs_is_refused(tmp_path: Path) -> None:
    from edge_fer.lab.training.teachers import open_teachers

    save_weights(tmp_path / "both.npz", Weights(tiny()))
    with pytest.raises(ConfigError, match="expected teachers that read pictures alone"):
        open_teachers(str(tmp_path / "both.npz"), None, "grey")


def test_the_manifest_wants_features_beside_a_branch(folder: Path) -> None:
    spec = ModelStore(folder / "models").spec("mine", "classify")
    with pytest.raises(ValueError, match="expected `features` and `output: logits` beside it"):
        type(spec).model_validate(spec.model_dump() | {"features": None})


def test_faces_without_landmarks_leave_other_trainings_alone(folder: Path) -> None:
    from edge_fer.lab.training.batches import features_of

    faces = open_dataset(folder / "faces")
    assert features_of(faces, np.array([0])) is None
    points = find_landmarks(faces, made_points)
    assert features_of(replace(faces, landmarks=points), np.array([0])).shape == (1, FEATURES)


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    bars = faces_with_bars()
    points = np.random.default_rng(0).uniform(10, 40, (len(bars), 68, 2)).astype(np.float32)
    data = {"faces": replace(bars, landmarks=points)}

    def trainer(folder: Path, options: Options, seed: int = 0) -> Trainer:
        torch.manual_seed(seed)
        net = TinyInputs()
        net.set_statistics(np.full(FEATURES, 0.1, np.float32), np.full(FEATURES, 0.5, np.float32))
        return Trainer(MultiTaskModel(net, None, 0.2), bars_recipe(), data, folder, options)

    whole = finish(trainer(tmp_path / "whole", Options()), tmp_path / "whole")
    options = Options()
    stopped = Options(stopping=options.stopping, reporter=FailsAt(13, options.stopping.set))
    assert not trainer(tmp_path / "parts", stopped).fit()
    rest = trainer(tmp_path / "parts", Options(workers=3), seed=9)
    rest.resume()
    check_same(finish(rest, tmp_path / "parts"), whole)


def test_landmarks_of_a_data_set_are_found_as_a_board_finds_them(folder: Path, tmp_path: Path) -> None:
    run("landmarks", folder / "faces", "--by", "lm68", "--models", folder / "models", "--out", tmp_path / "lm68.npz")
    faces = with_landmarks(open_dataset(folder / "faces"), tmp_path / "lm68.npz")
    with open_landmarks(ModelStore(folder / "models"), "lm68") as network:
        found = network.find(small_face(faces.images[0]))
    assert faces.landmarks is not None
    np.testing.assert_allclose(faces.landmarks[0], found, atol=1e-4)


def test_other_dense_layers_behind_the_same_trunk_are_another_network(folder: Path, tmp_path: Path) -> None:
    store = changed(folder, tmp_path / "models", **{"head.bias": np.arange(7, dtype=np.float32)})
    one, other = find_artefact(ModelStore(folder / "models"), "mine"), find_artefact(store, "mine")
    assert one.identity.sha256 == other.identity.sha256
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == find_artefact(ModelStore(folder / "models"), "mine").fingerprint
