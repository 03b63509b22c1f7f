"""The commands from face crops to a trained detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_fer.lab.cli.app import app
from edge_fer.lab.weights.detector import load_detector

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:matplotlib.*")]

_SMALL = ("width=0.0625", "size=64", "batch=4", "epochs=1", "epoch_pictures=8", "validation_pictures=4", "burn_in=2")


def _run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def test_from_crops_to_a_trained_detector(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    votes = np.zeros((30, 10), np.uint8)
    votes[np.arange(30), np.arange(30) % 7] = 10
    data, boxes, sheet, out = (tmp_path / name for name in ("faces.npz", "boxes.npz", "sheet.png", "run"))
    images = rng.integers(0, 256, (30, 48, 48), np.uint8)
    np.savez(data, x=images, votes=votes, usage=(np.arange(30) % 3).astype(np.uint8))

    assert "found in 0 of 20 crops" in _run("face-boxes", data, "--out", boxes)
    _run("scenes", data, "--boxes", boxes, "--out", sheet, "--side", "64")
    assert cv2.imread(str(sheet)).shape == (256, 384, 3)
    changes = [part for change in _SMALL for part in ("--set", change)]
    train = ("train-detector", "yolov3-tiny", "--data", data, "--boxes", boxes, "--out", out, *changes)
    assert "mean overlap" in _run(*train)
    assert load_detector(out / "best.npz").resolution == 64
    assert CliRunner().invoke(app, list(map(str, train))).exit_code != 0  # there is a run in the folder
    assert "resuming after step 2" in _run(*train, "--resume")
    listed = _run("networks")
    assert "yolov3_tiny" in listed
    assert "8,683,736" in listed
