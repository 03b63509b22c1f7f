"""The published recipes that need foreign weights: each from end to end, with a narrow network on a few faces."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from edge_fer.lab.arrays import read_npz
from edge_fer.lab.cli.app import app
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.landmarks import save_landmarks
from edge_fer.lab.networks import open_network
from edge_fer.lab.networks.two_inputs import TwoInputs
from edge_fer.lab.training.recipe_files import load_recipe
from tests.lab.training.test_thesis import folder_of_faces

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@dataclass(frozen=True)
class Case:
    """A recipe and the size that its faces have here.

    Attributes:
        frozen: a part of its network that the first stage must not change.
    """

    recipe: str
    size: int
    frozen: str


CASES = [
    Case("thesis-vgg", 64, "block1.conv1.weight"),
    Case("emonet-resnet50", 64, "stem.conv.weight"),
    Case("emonet-inception", 76, "conv_7b.conv.weight"),
    Case("emonet-resnet50-features", 64, "trunk.stem.conv.weight"),
    Case("emonet-inception-features", 76, "trunk.conv_7b.conv.weight"),
]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.recipe)
def test_every_stage_is_trained_and_the_first_is_of_the_top(tmp_path: Path, case: Case) -> None:
    recipe = load_recipe(case.recipe)
    stages = recipe.stages
    faces, out = folder_of_faces(tmp_path / "faces", 5), tmp_path / "run"
    sets = [f"--data={name}={faces}" for name in sorted({stage.data for stage in stages})]
    if issubclass(open_network(recipe.start.network), TwoInputs):
        dataset = open_dataset(faces)
        points = np.random.default_rng(0).uniform(10, 40, (len(dataset), 68, 2)).astype(np.float32)
        save_landmarks(tmp_path / "landmarks.npz", dataset, points, "a test")
        sets.append(f"--landmarks={tmp_path / 'landmarks.npz'}")
    changes = ["start.width=0.125", "start.needs_weights=false", "channels_last=false"]
    changes += [
        f"stages.{stage.name}.{key}" for stage in stages for key in (f"size={case.size}", "epochs=1", "batch=7")
    ]
    command = ["train", case.recipe, *sets, "--device", "cpu", "--out", str(out), *(f"--set={it}" for it in changes)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == [stage.name for stage in stages]
    assert [float(row["lr"]) for row in rows] == [stage.lr for stage in stages]
    first, last = (read_npz(out / f"{stage.name}.npz") for stage in (stages[0], stages[-1]))
    torch.manual_seed(recipe.seed)
    start = open_network(recipe.start.network)(0.125).state_dict()[case.frozen].half().numpy()
    assert np.array_equal(first[case.frozen], start)
    assert not np.array_equal(last[case.frozen], start)
