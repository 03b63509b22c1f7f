"""Every network goes the whole way by its name: train, resume, export, check, evaluate, explain.

One of them is not in the package: a file and a recipe are all that it takes.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from edge_fer import EdgeFer
from edge_fer.errors import ConfigError, ModelError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab import networks
from edge_fer.lab.cli.app import app
from edge_fer.lab.console import SilentReporter
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.model_folder import update_manifest
from edge_fer.lab.networks import network_names, open_network
from edge_fer.lab.training.checkpoint import LAST
from edge_fer.lab.training.initial_weights import initial_model, initial_weights
from edge_fer.lab.training.recipe_files import load_recipe
from edge_fer.lab.weights.npz import load_weights
from edge_fer.lab.weights.tflite import weights_from_tflite
from edge_fer.types import LABELS
from tests.lab.support.portraits import portrait_crop
from tests.lab.support.tiny import tiny_models

# The converter and the quantizer warn of this and that, from half a dozen libraries.
pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore")]

FACES = {"train": 3, "valid": 1}
TINTS = ((1.0, 1.0, 1.0), (0.6, 0.8, 1.0), (1.0, 0.8, 0.6))


@dataclass(frozen=True)
class Case:
    """A network and how it is trained here."""

    network: str
    size: int
    width: float
    colour: str

    def __str__(self) -> str:
        return f"{self.network}-{self.colour}"

    @property
    def recipe(self) -> dict[str, Any]:
        stage = {"size": self.size, "batch": 7, "epochs": 2, "lr": 1e-3}
        return {
            "name": self.network.replace("_", "-"),
            "ema": 0.9,
            "start": {"network": self.network, "width": self.width, "colour": self.colour},
            "stages": [{"name": "all", **stage, "augmentation": {"flip": 0.5, "jpeg": 0.5, "dark": 0.2}}],
        }


CASES = [
    Case("se_resnet50", 56, 0.125, "rgb"),
    Case("mobilenet_v1", 64, 0.25, "grey"),
    Case("mobilenet_v1", 64, 0.25, "rgb"),
    Case("tiny_net", 36, 1.0, "grey"),
    pytest.param(Case("vgg_face", 56, 0.125, "rgb"), marks=pytest.mark.slow),
    pytest.param(Case("resnet18", 64, 0.125, "rgb"), marks=pytest.mark.slow),
    pytest.param(Case("resnet50", 65, 0.125, "grey"), marks=pytest.mark.slow),
    pytest.param(Case("inception_resnet_v2", 107, 0.125, "grey"), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread_and_a_network_more(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tests' own network as a file in a folder of the package `edge_fer.lab.networks`."""
    folder = tmp_path_factory.mktemp("networks")
    shutil.copy(Path(__file__).parents[1] / "support" / "networks" / "tiny_net.py", folder)
    threads, places = torch.get_num_threads(), list(networks.__path__)
    torch.set_num_threads(1)
    networks.__path__.append(str(folder))
    yield
    networks.__path__[:] = places
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One face in colour pictures that differ in brightness and tint."""
    folder, face = tmp_path_factory.mktemp("faces"), portrait_crop()
    for split, count in FACES.items():
        for label, name in enumerate(LABELS):
            for number in range(count):
                path = folder / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                tint = np.array(TINTS[number])
                cv2.imwrite(str(path), ((face[..., None] // 2 + 10 * label) * tint).astype(np.uint8))
    return folder


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@dataclass(frozen=True)
class Journey:
    case: Case
    folder: Path

    @property
    def weights(self) -> Path:
        return self.folder / "run" / LAST

    @property
    def models(self) -> Path:
        return self.folder / "models"


@pytest.fixture(scope="module", params=CASES, ids=str)
def journey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Journey:
    case: Case = request.param
    journey = Journey(case, tmp_path_factory.mktemp("journey"))
    recipe = journey.folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(case.recipe))
    command = ("train", recipe, "--data", faces, "--device", "cpu", "--out", journey.folder / "run")
    run(*command)
    run(*command, "--resume")  # from its last checkpoint: nothing is left to do
    run("export", "--no-mtcnn", "--weights", journey.weights, "--data", faces, "--out", journey.models,
        "--name", "mine", "--features", "--faces", "8", "--chosen-on", "4")  # fmt: skip
    return journey


def test_the_weights_state_their_network_and_its_settings(journey: Journey) -> None:
    case, net = journey.case, load_weights(journey.weights).net
    assert net.name() == case.network
    assert (net.resolution, net.width, net.colour) == (case.size, case.width, case.colour)


def test_the_file_is_int8_and_gives_the_features_too(journey: Journey) -> None:
    store = ModelStore(journey.models)
    spec, graph = store.spec("mine", "classify"), check_int8(store.load("mine", "classify"))
    net = load_weights(journey.weights).net
    assert (spec.input.size, spec.input.colour) == (net.side, journey.case.colour)
    assert spec.features is not None
    assert spec.features.width == net.head.in_features
    assert sorted(graph.shape(tensor)[-1] for tensor in graph.outputs) == sorted([len(LABELS), net.head.in_features])
    assert "TRANSPOSE" not in {node.name for node in graph.nodes}
    assert f"{net.PUBLICATION} that names" in (journey.models / "mine.md").read_text()
    coloured = json.loads((journey.models / "mine.export.json").read_text())["coloured"]
    assert coloured is None if journey.case.colour == "grey" else 0 < coloured < 8


def test_an_edge_tpu_would_take_all_of_it(journey: Journey) -> None:
    verdict = json.loads(run("edgetpu-check", journey.models / "mine.tflite", "--json"))
    assert verdict["clean"], verdict


def test_the_runtime_reads_with_it_what_the_network_reads(journey: Journey, faces: Path) -> None:
    out = journey.folder / "evaluation"
    run("evaluate", "--models", journey.models, "--model", "mine", "--data", faces, "--mode", "crops", "--out", out)
    result = json.loads((out / "evaluation.json").read_text())["modes"][0]["model"]
    assert result["faces"] == FACES["valid"] * len(LABELS)
    export = json.loads((journey.models / "mine.export.json").read_text())
    assert result["accuracy"]["value"] == pytest.approx(export["validation"]["int8"])


@pytest.mark.slow
def test_it_runs_on_the_sample(journey: Journey, tmp_path: Path) -> None:
    tiny_models(tmp_path)  # with a detector
    shutil.copy(journey.models / "mine.tflite", tmp_path)
    update_manifest(tmp_path, {"mine": ModelStore(journey.models).spec("mine", "classify")})
    with EdgeFer(capture__source="sample", models=str(tmp_path), classify__model="mine") as fer:
        faces = next(reading.faces for reading in fer if any(face.probabilities for face in reading.faces))
    assert sum(faces[0].probabilities.values()) == pytest.approx(1, abs=1e-3)


def test_its_answers_are_explained(journey: Journey, faces: Path) -> None:
    out = journey.folder / "pages"
    run("explain", "--weights", journey.weights, "--models", journey.models, "--model", "mine", "--data", faces,
        "--per-class", "1", "--out", out)  # fmt: skip
    assert (out / "index.html").is_file()
    layers = load_weights(journey.weights).net.CAM_LAYERS
    assert any(f"{layer}, " in (out / "index.html").read_text() for layer in layers)
    with pytest.raises(ConfigError, match=rf"expected --layer auto, {layers[0]}.* found `stage99`"):
        run("explain", "--weights", journey.weights, "--models", journey.models, "--model", "mine", "--data", faces,
            "--out", journey.folder / "other", "--layer", "stage99")  # fmt: skip


def test_it_can_be_trained_further_from_its_file_or_the_refusal_is_one_line(journey: Journey, faces: Path) -> None:
    kind, file = open_network(journey.case.network), journey.models / "mine.tflite"
    if not kind.OPERATORS:
        with pytest.raises(ModelError, match=r"expected weights of tiny_net as an \.npz file, found .*mine\.tflite"):
            weights_from_tflite(file, kind)
        return
    net = weights_from_tflite(file, kind)
    assert (net.resolution, net.width) == (journey.case.size, journey.case.width)
    images = torch.randn(4, 3, net.side, net.side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pair = [each.features(images).flatten() for each in (net, load_weights(journey.weights).net)]
    assert torch.corrcoef(torch.stack(pair))[0, 1] > 0.98, "each layer got its own weights, which were rounded"
    recipe = load_recipe(str(journey.folder / "recipe.yaml"), ["start.colour=null"])
    first = initial_weights(file, recipe)
    assert (first.net.colour, first.deployed) == (journey.case.colour, file)
    settled = initial_model(first, recipe, {"faces": open_dataset(faces)}, SilentReporter())
    assert settled.net.settings() == first.net.settings()


def test_networks_are_listed_by_what_lies_in_the_package() -> None:
    assert {"mobilenet_v1", "resnet50", "se_resnet50", "tiny_net"} <= set(network_names())
    lines = {line.split()[0]: line.split()[1:6] for line in run("networks").splitlines()[1:]}
    detectors = {"yolov3_tiny"}
    assert [name for name in lines if name not in detectors] == network_names()
    assert detectors < set(lines)
    assert lines["mobilenet_v1"] == ["160x160", "grey", "3,203,207", "3,196,032", "0"]
    assert lines["fan"] == ["224x224", "grey", "11,185,225", "11,178,050", "9,600"]
    assert lines["fan_self"] == ["224x224", "grey", "11,180,616", "11,177,025", "9,600"]
    assert lines["resnet50"] == ["197x197", "grey", "23,522,375", "23,508,032", "53,120"]


@pytest.mark.parametrize("name", ["mobilnet_v1", "base", "mtcnn", "os", "../x"])
def test_a_network_that_there_is_not_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a network \(.*mobilenet_v1, .*se_resnet50, .*\), found") as error:
        open_network(name)
    assert ("did you mean `mobilenet_v1`?" in str(error.value)) == (name == "mobilnet_v1")


def test_weights_of_another_network_are_refused(journey: Journey, tmp_path: Path, faces: Path) -> None:
    other = "se_resnet50" if journey.case.network != "se_resnet50" else "mobilenet_v1"
    with pytest.raises(ModelError, match=rf"expected weights of {other} in .*, found those of {journey.case.network}"):
        run("train", "edge", "--set", f"start.network={other}", "--set", "compile=false", "--weights", journey.weights,
            "--data", faces, "--device", "cpu", "--out", tmp_path)  # fmt: skip
