"""The published way from end to end, on a few faces: three stages, quantization, evaluation, explanation."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import typer
import yaml
from typer.testing import CliRunner

from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.cli.evaluate import evaluate
from edge_fer.lab.cli.explain import explain, layers
from edge_fer.lab.cli.export import export
from edge_fer.lab.cli.train import train
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.weights.npz import load_weights
from edge_fer.types import LABELS
from tests.lab.support.portraits import portrait_crop

# The converter and the quantizer warn of this and that, from half a dozen libraries.
pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore")]

STAGES = ("top", "noisy", "clean")
SIZE = 56  # the least that 224 pixels are averaged down to
FACES = {"train": 3, "valid": 1}

app = typer.Typer()
for command in (train, export, layers, evaluate, explain):
    app.command()(command)


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def folder_of_faces(folder: Path, shade: int) -> Path:
    """The same face, which the detector finds, in a brightness of its own for each picture."""
    face = portrait_crop()
    for split, count in FACES.items():
        for label, name in enumerate(LABELS):
            for number in range(count):
                path = folder / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), face // 2 + shade + 8 * label + 2 * number)
    return folder


@dataclass(frozen=True)
class Journey:
    """Where everything went."""

    faces: Path
    trained: Path
    models: Path
    layers: Path
    evaluation: Path
    pages: Path
    said: str


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Any:
    threads = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("thesis")
    noisy, clean = folder_of_faces(folder / "noisy", 5), folder_of_faces(folder / "clean", 20)
    there = Journey(clean, *(folder / name for name in ("run", "models", "layers", "evaluation", "pages")), said="")
    changes = {"size": SIZE, "epochs": 1, "batch": 7}
    small = [f"--set=stages.{stage}.{key}={value}" for stage in STAGES for key, value in changes.items()]
    sets = ("--data", f"noisy={noisy}", "--data", f"clean={clean}")
    said = run("train", "thesis", *sets, "--out", there.trained, "--device", "cpu", *small)
    weights, float_file = there.trained / "best.npz", folder / "float.tflite"
    common = ("--data", clean, "--models", there.models)
    few = ("--faces", "4", "--chosen-on", "7")
    run("export", "--weights", weights, "--data", clean, "--out", there.models, "--float", float_file, *few)
    run("layers", *common, "--float", float_file, "--out", there.layers, "--faces", "2")
    run("evaluate", *common, "--against", float_file, "--mode", "both", "--out", there.evaluation)
    run("explain", *common, "--weights", weights, "--out", there.pages)
    yield Journey(**{**vars(there), "said": said})
    torch.set_num_threads(threads)


def test_the_recipe_is_the_published_one_but_for_its_size(journey: Journey) -> None:
    kept = yaml.safe_load((journey.trained / "recipe.yaml").read_text())
    assert [(stage["name"], stage["train"], stage["data"], stage["lr"]) for stage in kept["stages"]] == [
        ("top", "top", "noisy", 1e-3),
        ("noisy", "all", "noisy", 1e-5),
        ("clean", "all", "clean", 1e-5),
    ]
    assert {stage["optimizer"]["kind"] for stage in kept["stages"]} == {"adam"}
    assert {stage["loss"]["class_weights"] for stage in kept["stages"]} == {1.0}
    assert {stage["size"] for stage in kept["stages"]} == {SIZE}
    assert kept["dropout"] == 0.5


def test_all_three_stages_were_trained(journey: Journey) -> None:
    assert [stage for stage in STAGES if f"{stage} epoch 1: loss" in journey.said] == list(STAGES)
    with (journey.trained / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["step"]) for row in rows] == [(stage, "3") for stage in STAGES]
    assert all(0 < float(row["train_loss"]) < 20 for row in rows)
    assert load_weights(journey.trained / "best.npz").net.resolution == SIZE


def test_the_artefact_is_one_that_the_edge_tpu_could_take(journey: Journey) -> None:
    store = ModelStore(journey.models)
    spec = store.spec("my_se_resnet50", "classify")
    graph = check_int8(store.load("my_se_resnet50", "classify"))
    assert graph.shape(graph.inputs[0]) == (1, 224, 224, 3)
    assert spec.accuracy is not None
    assert spec.accuracy.images == len(LABELS) * FACES["valid"]
    assert 0 <= spec.accuracy.int8 <= 1
    assert spec.sha256[:16] in (journey.models / spec.card).read_text()


def test_the_choice_of_ranges_is_on_record(journey: Journey) -> None:
    record = json.loads((journey.models / "my_se_resnet50.export.json").read_text())
    choice = record["calibration"]
    assert (choice["faces"], choice["chosen_on"]) == (4, 7)
    best = max(choice["candidates"], key=lambda each: (each["agreement"], -each["logit_rmse"]))
    assert choice["chosen"] == best["name"]
    assert len(record["layers"]) == 10


def test_every_layer_was_compared(journey: Journey) -> None:
    record = json.loads((journey.layers / "layers.json").read_text())
    names = [layer["name"] for layer in record["layers"]]
    assert {"stem", "stage2.block1.reduce", "stage5.block3.se_up", "dense1000", "output"} <= set(names)
    assert sum(layer["operator"] == "CONV_2D" for layer in record["layers"]) == 85
    ratios = [layer["snr_db"] for layer in record["layers"] if layer["snr_db"] is not None]
    assert 10 < np.median(ratios) < 70
    assert all(math.isfinite(ratio) for ratio in ratios)


def test_the_artefact_was_measured_beside_float(journey: Journey) -> None:
    record = json.loads((journey.evaluation / "evaluation.json").read_text())
    modes = {result["mode"]: result for result in record["modes"]}
    assert set(modes) == {"crops", "end-to-end"}
    assert modes["crops"]["model"]["faces"] == len(LABELS)
    assert np.sum(modes["end-to-end"]["model"]["confusion"]) == len(LABELS)
    assert 0 <= modes["crops"]["comparison"]["agreement"] <= 1
    assert (journey.evaluation / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_every_validation_face_was_explained(journey: Journey) -> None:
    index = (journey.pages / "index.html").read_text()
    assert "stage3, 7x7, of a face of 56x56 pixels" in index
    pictures = sorted((journey.pages / "pictures").iterdir())
    assert len(pictures) == len(LABELS)
    for path in pictures:
        image = cv2.imread(str(path))
        assert image is not None
        assert image.shape[1] == 448
    assert all((journey.pages / f"{label}.html").is_file() for label in LABELS)
