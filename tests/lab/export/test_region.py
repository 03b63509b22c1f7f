"""Deep-Emotion from its recipe to readings: two INT8 files with a cut between them say what the whole network says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from edge_fer.api import EdgeFer
from edge_fer.cli.app import app as runtime
from edge_fer.errors import ConfigError, ModelError
from edge_fer.expression.classifier import open_network
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.cli.app import app as lab
from edge_fer.lab.networks.deep_emotion import DeepEmotion
from edge_fer.lab.training.augment import as_tensor, standardise
from edge_fer.lab.weights.npz import Weights, load_weights, save_weights
from edge_fer.publish.drawing.annotate import annotate
from edge_fer.schema import FaceReading, Reading
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import AlignedFace
from tests.lab.support.portraits import portrait_crop
from tests.lab.support.tiny import tiny_models
from tests.lab.training.test_thesis import FACES, folder_of_faces
from tests.support.records import make_reading

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

NAME = "deep_emotion"


def run(app: Any, *arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Faces, a run and its export. The first weights look at parts of faces and are sure of what they see."""
    threads, folder = torch.get_num_threads(), tmp_path_factory.mktemp("deep-emotion")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = DeepEmotion()
    with torch.no_grad():
        net.where_fc2.weight.normal_(0, 0.1)
        net.where_fc2.bias.copy_(torch.tensor([0.7, 0.1, 0.1, -0.1, 0.7, -0.1]))
        for layer in (net.conv1, net.conv2, net.conv3, net.conv4, net.fc1, net.head):
            layer.weight *= 3
        net.head.weight *= 3
    save_weights(folder / "first.npz", Weights(net))
    faces = folder_of_faces(folder / "faces", 5)
    small = [f"--set=stages.all.{change}" for change in ("epochs=2", "batch=7", "lr=1e-4")]
    run(lab, "train", "deep-emotion", "--weights", folder / "first.npz", "--data", faces, "--out", folder / "run",
        "--device", "cpu", *small)  # fmt: skip
    for spec in tiny_models(folder / "models").specs.values():
        (folder / "models" / spec.card).touch()
    run(lab, "export", "--no-mtcnn", "--weights", folder / "run" / "last.npz", "--data", faces, "--out",
        folder / "models", "--name", NAME, "--faces", "12", "--chosen-on", "7")  # fmt: skip
    yield folder
    torch.set_num_threads(threads)


def test_the_pair_says_what_the_whole_says(folder: Path) -> None:
    net, store = load_weights(folder / "run" / "last.npz").net, ModelStore(folder / "models")
    pictures = [portrait_crop() // 2 + np.uint8(shade) for shade in range(5, 65, 4)]
    with torch.no_grad():
        logits = net(standardise(as_tensor(pictures), net.input)) / store.spec(NAME, "classify").temperature
        theta = net.theta(standardise(as_tensor(pictures), net.input))
    expected = torch.softmax(logits, dim=1).numpy()
    assert np.ptp(expected) > 0.2, "or nothing would be compared"
    with open_network(store, NAME) as pair:
        answers = [pair.classify(AlignedFace.of_crop(picture)) for picture in pictures]
    assert np.abs(np.array([answer.probabilities for answer in answers]) - expected).mean() < 0.02
    found = np.array([answer.region for answer in answers])
    top_left = (theta.reshape(-1, 2, 3) @ torch.tensor([-1.0, -1.0, 1.0])).numpy()
    np.testing.assert_allclose(found[:, 0], (top_left + 1) / 2, atol=0.02)


def test_both_files_are_listed_checked_and_described(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = ModelStore(folder / "models")
    spec = store.spec(NAME, "classify")
    assert [file.file for file in spec.files] == [f"{NAME}.tflite", f"{NAME}_where.tflite"]
    assert sum(len(store.read(file)) for file in spec.files) < 110_000
    run(runtime, "models", "verify", "--models", folder / "models")
    assert f"{NAME}_where.tflite" in capfd.readouterr().out
    for file in spec.files:
        assert "TRANSPOSE" not in run(lab, "edgetpu-check", folder / "models" / file.file)
    verdict = json.loads(run(lab, "edgetpu-check", NAME, "--models", folder / "models", "--json"))
    assert (verdict["model"], verdict["region"]["model"]) == (NAME, f"{NAME}.region")
    assert verdict["clean"]
    assert verdict["region"]["clean"]
    assert "runs these two on the CPU" in run(lab, "edgetpu-check", NAME, "--models", folder / "models")
    assert f"`{NAME}_where.tflite`" in (folder / "models" / spec.card).read_text()
    where = folder / "models" / f"{NAME}_where.tflite"
    content = where.read_bytes()
    try:
        where.write_bytes(content[:-1])
        with pytest.raises(ModelError, match="to be what the manifest says, found others: deep_emotion"):
            run(runtime, "models", "verify", "--models", folder / "models")
    finally:
        where.write_bytes(content)
    assert f"expected {where} with sha256" in capfd.readouterr().out


def test_it_is_measured_as_it_runs(folder: Path) -> None:
    out = folder / "evaluation"
    run(lab, "evaluate", "--models", folder / "models", "--model", NAME, "--data", folder / "faces", "--mode", "crops",
        "--out", out)  # fmt: skip
    assert f'"faces": {7 * FACES["valid"]}' in (out / "evaluation.json").read_text()


def test_readings_say_where_it_looked(folder: Path) -> None:
    image = crowd_scene(seed=1, faces=1, frames=1).render(0)
    with EdgeFer(models=folder / "models", classify__model=NAME, track__min_hits=1) as fer:
        (face,) = fer.analyze(image).faces
    assert face.region is not None
    x, y = np.mean(face.region, axis=0)
    box = face.box
    assert box.x < x < box.x + box.width
    assert box.y < y < box.y + box.height
    assert (annotate(image, fer_reading(face)) != annotate(image, fer_reading(replace(face, region=None)))).any()


def fer_reading(face: FaceReading) -> Reading:
    return make_reading(faces=(face,))


def test_no_map_lies_over_the_whole_face(folder: Path) -> None:
    with pytest.raises(ConfigError, match="expected a network with a map that lies over the whole face, found deep_em"):
        run(lab, "explain", "--weights", folder / "run" / "last.npz", "--models", folder / "models", "--model", NAME,
            "--data", folder / "faces", "--out", folder / "pages")  # fmt: skip
