"""Training on tracks: batches, the recipe `fan` from end to end with an exact resume, and its export."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from typer.testing import CliRunner

from edge_fer.errors import ConfigError
from edge_fer.expression.attention import open_attention
from edge_fer.inference import open_backend
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.arrays import read_npz
from edge_fer.lab.cli.app import app
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.datasets.tracks import FRAMES, as_tracks
from edge_fer.lab.networks.base import NetworkInput
from edge_fer.lab.networks.fan import Fan
from edge_fer.lab.networks.resnet18 import ResNet18
from edge_fer.lab.training.loop import Trainer
from edge_fer.lab.training.multi_task import MultiTaskModel
from edge_fer.lab.training.recipe import Recipe, Stage
from edge_fer.lab.training.recipe_files import load_recipe
from edge_fer.lab.training.state import Options
from edge_fer.lab.training.track_batches import TrackBatches, plain_tracks
from edge_fer.lab.weights.npz import Weights, load_weights, save_weights
from edge_fer.types import LABELS
from tests.lab.training.test_thesis import folder_of_faces

# The converter and the quantizer warn of this and that, from half a dozen libraries.
pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore")]

INPUT = NetworkInput(32, "grey", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_faces(tmp_path_factory.mktemp("faces"), 5)


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_batch_has_a_frame_of_each_part_and_every_lap_others(folder: Path) -> None:
    training = as_tracks(open_dataset(folder)).only(Split.TRAINING)
    stage = Stage(name="all", frames=3, size=32, batch=7, epochs=2, lr=0.1)
    batches = TrackBatches(training, stage, (0, 0), INPUT)
    assert batches.steps_per_epoch == 3
    first, again, later = (batches.batch(step) for step in (0, 0, 3))
    assert first.images.shape == (7, 3, 3, 32, 32)
    assert torch.equal(first.images, again.images)
    face = batches.indices(0)[0]
    place = next(place for step in (3, 4, 5) for place in [(step, batches.indices(step).tolist())] if face in place[1])
    other = batches.batch(place[0]).images[place[1].index(face)]
    assert not torch.equal(first.images[0], other)
    assert len(later.targets) == 7


def test_all_frames_of_a_track_are_mirrored_alike(folder: Path) -> None:
    training = as_tracks(open_dataset(folder)).only(Split.TRAINING)
    stages = [
        Stage(name="all", frames=3, size=32, batch=7, epochs=1, lr=0.1, augmentation={"flip": flip}) for flip in (0, 1)
    ]
    plain, mirrored = (TrackBatches(training, stage, (0, 0), INPUT).batch(0).images for stage in stages)
    torch.testing.assert_close(mirrored, plain.flip(-1), atol=0.02, rtol=0)


def test_validation_reads_all_frames_of_a_track_together(folder: Path) -> None:
    validation = as_tracks(open_dataset(folder)).only(Split.VALIDATION)
    shapes = [tuple(track.shape) for track in plain_tracks(validation, 32, INPUT)]
    assert shapes == [(1, FRAMES, 3, 32, 32)] * len(validation)


def recipe(**changes: Any) -> Recipe:
    stage = {"name": "all", "frames": 3, "size": 32, "batch": 7, "epochs": 2, "lr": 0.01, "augmentation": {"flip": 0.5}}
    return Recipe.model_validate(
        {"name": "test", "dropout": 0.6, "start": {"network": "fan"}, "stages": [stage]} | changes
    )


def fan() -> MultiTaskModel:
    torch.manual_seed(0)
    return MultiTaskModel(Fan(0.125, 32), None, 0.6)


@pytest.mark.slow
def test_a_resumed_training_on_tracks_equals_an_uninterrupted_one(tmp_path: Path, folder: Path) -> None:
    data = {"faces": as_tracks(open_dataset(folder))}
    assert Trainer(fan(), recipe(), data, tmp_path / "whole").fit()
    options = Options()

    class StopAfter:
        steps = 0

        def say(self, text: str) -> None: ...

        def step(self, stage: str, progress: float, metrics: str) -> None:
            self.steps += 1
            if self.steps == 2:
                options.stopping.set()

    assert not Trainer(
        fan(), recipe(), data, tmp_path / "parts", Options(stopping=options.stopping, reporter=StopAfter())
    ).fit()
    resumed = Trainer(fan(), recipe(), data, tmp_path / "parts")
    resumed.resume()
    assert resumed.fit()
    whole, parts = (read_npz(tmp_path / name / "last.npz") for name in ("whole", "parts"))
    assert all(np.array_equal(array, parts[name]) for name, array in whole.items())


def test_the_shipped_recipe_is_the_published_training() -> None:
    (stage,) = load_recipe("fan").stages
    assert (stage.frames, stage.batch, stage.epochs, stage.lr, stage.factor, stage.milestones) == (
        3, 48, 500, 0.1, 0.2, (0.5,),
    )  # fmt: skip
    assert (stage.optimizer.kind, stage.optimizer.momentum, stage.optimizer.weight_decay) == ("sgd", 0.9, 1e-4)
    assert load_recipe("fan").dropout == 0.6


def test_what_does_not_go_with_tracks_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValidationError, match="teachers read single pictures, and this stage has `frames`"):
        Stage(name="all", frames=3, epochs=1, lr=0.1, teacher={"answers": 0.5})
    command = ["train", "resnet18", "--data", str(folder), "--out", str(tmp_path / "x"), "--device", "cpu"]
    with pytest.raises(
        ConfigError, match=r"a network that reads tracks \(fan, fan_self\) for the stage small, .*resnet18"
    ):
        CliRunner().invoke(app, [*command, "--set", "stages.small.frames=3"], catch_exceptions=False)


@pytest.mark.slow
def test_the_recipe_goes_from_a_resnet18_to_tracks_and_its_export_runs(tmp_path: Path, folder: Path) -> None:
    torch.manual_seed(0)
    save_weights(tmp_path / "trunk.npz", Weights(ResNet18(0.125, 64).eval()))
    changes = ("size=64", "epochs=2", "batch=7", "lr=0.01")
    out, models = tmp_path / "run", tmp_path / "models"
    run("train", "fan", "--weights", tmp_path / "trunk.npz", "--data", folder, "--device", "cpu", "--out", out,
        *(f"--set=stages.all.{change}" for change in changes))  # fmt: skip
    with (out / "log.csv").open() as file:
        assert [float(row["lr"]) for row in csv.DictReader(file)] == pytest.approx([0.01, 0.002])
    run("export", "--no-mtcnn", "--weights", out / "last.npz", "--data", folder, "--out", models, "--name", "mine",
        "--faces", "8", "--chosen-on", "4")  # fmt: skip
    store = ModelStore(models)
    spec, net = store.spec("mine", "classify"), load_weights(out / "last.npz").net
    assert spec.features is not None
    assert spec.features.width == net.pooled_size == 64
    with open_backend("cpu", store.load("mine", "classify")) as backend:
        assert sorted(tensor.shape for tensor in backend.outputs) == [(1, len(LABELS)), (1, 64)]
    assert json.loads(run("edgetpu-check", models / "mine.tflite", "--json"))["clean"]
    attention = open_attention(store, "mine")
    assert attention is not None
    record = json.loads((models / "mine.tracks.json").read_text())
    assert [share["spoiled"] for share in record["evaluations"][0]["shares"]] == [0.0, 0.25, 0.5, 0.75]
    assert "Frame Attention Network" in (models / "mine_attention.md").read_text()
    run("tracks", "--data", folder, "--models", models, "--model", "mine", "--out",
        tmp_path / "report", "--cache", tmp_path / "cache")  # fmt: skip
    assert (tmp_path / "report" / "tracks.md").is_file()
