"""A teacher's answers: asked once, kept, and mixed into the targets of training faces only."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_fer.errors import ConfigError, ModelError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.cli.app import app
from edge_fer.lab.console import silent
from edge_fer.lab.datasets.dataset import Dataset, hard
from edge_fer.lab.datasets.pictures import resized
from edge_fer.lab.evaluation.logits import classify
from edge_fer.lab.training.distillation import cached_soft_targets, soft_targets, with_soft_targets
from edge_fer.types import LABELS

STORE = ModelStore()
TEACHER = "se_resnet50"


def faces(count: int = 4) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (count, 48, 48), np.uint8)
    splits = np.array([0, 1, 0, 2] * count, np.uint8)[:count]
    return hard("x", images, np.arange(count) % len(LABELS), splits, {})


def test_only_training_targets_change_and_they_still_sum_to_one() -> None:
    soft = np.tile(np.linspace(0, 1, 7, dtype=np.float32) / 3.5, (2, 1))
    result = with_soft_targets(faces(), soft, 0.25)
    np.testing.assert_allclose(result.targets[0], 0.75 * np.eye(7)[0] + 0.25 * soft[0], rtol=1e-6)
    np.testing.assert_array_equal(result.targets[[1, 3]], np.eye(7)[[1, 3]])
    np.testing.assert_allclose(result.targets.sum(axis=1), 1, rtol=1e-6)


def test_soft_targets_are_the_classifiers_probabilities() -> None:
    calls: list[tuple[int, int]] = []
    data = faces(3)
    found = soft_targets(data.images, TEACHER, STORE, lambda done, total: calls.append((done, total)), piece=2)
    spec, model = STORE.spec(TEACHER, "classify"), STORE.load(TEACHER, "classify")
    logits = classify(model, resized(data.images, 224), spec.input)
    np.testing.assert_allclose(np.log(found) - np.log(found[:, :1]), logits - logits[:, :1], atol=1e-4)
    assert calls == [(2, 3), (3, 3)]


def test_soft_targets_are_cached_for_the_same_teacher_and_faces(tmp_path: Path) -> None:
    path = tmp_path / "run" / "teacher.npz"
    calls: list[int] = []

    def targets(data: Dataset) -> np.ndarray:
        return cached_soft_targets(path, data, TEACHER, STORE, lambda done, total: calls.append(done))

    first = targets(faces())
    assert first.shape == (2, 7)
    assert calls == [2]
    np.testing.assert_array_equal(targets(faces()), first)
    assert calls == [2], "the file should have been read"
    assert targets(faces(8)).shape == (4, 7)
    np.savez(path, sha256=np.array("another"), targets=first + 1)
    np.testing.assert_array_equal(targets(faces()), first)
    assert calls == [2, 4, 2]


def test_a_detector_is_no_teacher() -> None:
    with pytest.raises(ModelError):
        soft_targets(faces().images, "mtcnn_onet", STORE, silent)


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ("lite", (), r"expected --teacher MODEL for the recipe lite, found none"),
        ("edge", ("--teacher", TEACHER), r"expected no --teacher for the recipe edge, found se_resnet50"),
    ],
)
def test_a_recipe_says_whether_it_has_a_teacher(
    tmp_path: Path, recipe: str, options: tuple[str, ...], message: str
) -> None:
    for split in ("train", "valid"):
        for label in LABELS:
            folder = tmp_path / "faces" / split / label
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "a.png"), np.full((48, 48), len(label), np.uint8))
    arguments = ["train", recipe, "--data", str(tmp_path / "faces"), "--out", str(tmp_path / "run"), *options]
    result = CliRunner().invoke(app, [*arguments, "--set", "compile=false", "--device", "cpu"])
    assert isinstance(result.exception, ConfigError), result.output
    assert str(result.exception).startswith(message)
