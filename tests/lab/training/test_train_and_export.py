"""`edge-fer lab train --models`: from faces to a folder that runs, in one command."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch
import yaml
from typer.testing import CliRunner

from edge_fer.errors import ModelError, SourceError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.cli.app import app
from edge_fer.lab.training.checkpoint import CHECKPOINT
from edge_fer.types import LABELS
from tests.lab.support.portraits import portrait_crop

# The converter and the quantizer warn of this and that, from half a dozen libraries.
pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore")]


def write_faces(folder: Path, train: int) -> Path:
    """So many training faces of each label, and one to validate on."""
    face = portrait_crop()
    for split, count in {"train": train, "valid": 1}.items():
        for label, name in enumerate(LABELS):
            for number in range(count):
                path = folder / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), face // 2 + 8 * label + 2 * number)
    return folder


def command(folder: Path, network: str, faces: int) -> list[str]:
    """Two steps of a narrow network."""
    stage = {"name": "all", "size": 48 if network == "deep_emotion" else 64, "batch": 7, "epochs": 1, "lr": 1e-3}
    start = {"network": network, "width": 0.25}
    recipe = {"name": "short", "start": start, "stages": [stage | {"epoch_faces": 14}]}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    given = {"--data": write_faces(folder / "faces", faces), "--out": folder / "run", "--models": folder / "models"}
    options = [str(word) for pair in given.items() for word in pair]
    return ["train", str(folder / "recipe.yaml"), *options, "--device", "cpu"]


@pytest.mark.slow
def test_the_folder_has_the_detector_and_the_network_that_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    result = CliRunner().invoke(app, command(tmp_path, "deep_emotion", 5), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "--model my_deep_emotion" in result.output
    store = ModelStore(tmp_path / "models")
    assert {spec.task for spec in store.specs.values()} == {"propose", "refine", "output", "classify"}
    assert store.load("my_deep_emotion", "classify")


def test_what_an_export_would_refuse_is_refused_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected at least 32 training faces in faces to calibrate on, found 21"):
        CliRunner().invoke(app, command(tmp_path, "deep_emotion", 3), catch_exceptions=False)
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_a_network_that_reads_landmarks_needs_a_network_of_them_in_the_folder(tmp_path: Path) -> None:
    there = command(tmp_path, "resnet50_features", 5)
    with pytest.raises(ModelError, match="make one there with `edge-fer lab lm68`"):
        CliRunner().invoke(app, [*there, "--landmarks", str(tmp_path / "points.npz")], catch_exceptions=False)
    assert not (tmp_path / "run" / CHECKPOINT).exists()
