"""A network whose layers are for one size of picture is trained through stages of different sizes."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
import torch

from edge_fer.lab.networks.base import new_head
from edge_fer.lab.networks.vgg_face import VGGFace
from edge_fer.lab.training.checkpoint import LAST
from edge_fer.lab.training.loop import Trainer
from edge_fer.lab.training.multi_task import MultiTaskModel
from edge_fer.lab.training.recipe import Recipe
from edge_fer.lab.training.state import Options
from edge_fer.lab.weights.npz import load_weights
from tests.lab.training.test_loop import FailsAt, check_same, faces, finish

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore::DeprecationWarning:matplotlib.*")]


def model() -> MultiTaskModel:
    torch.manual_seed(0)
    return MultiTaskModel(VGGFace(0.125, 96), new_head(512), 0.5)


def recipe() -> Recipe:
    """Two stages of two steps each; the top of the first is for another size than that of the second."""
    common = {"data": "faces", "batch": 6, "epochs": 2, "epoch_faces": 6, "lr": 1e-4}
    stages = [{"name": "top", "train": "top", "size": 64} | common, {"name": "all", "size": 32} | common]
    return Recipe.model_validate({"name": "sizes", "ema": 0.9, "stages": stages})


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_stopped_run_goes_on_at_the_size_of_its_stage(tmp_path: Path, step: int) -> None:
    data, stopping = {"faces": faces(16)}, Event()
    whole = finish(Trainer(model(), recipe(), data, tmp_path / "whole"), tmp_path / "whole")
    sides = [load_weights(tmp_path / "whole" / name).net.resolution for name in ("top.npz", LAST)]
    assert sides == [64, 32]
    folder = tmp_path / "parts"
    assert not Trainer(
        model(), recipe(), data, folder, Options(stopping=stopping, reporter=FailsAt(step, stopping.set))
    ).fit()
    run = Trainer(model(), recipe(), data, folder)
    run.resume()
    check_same(finish(run, folder), whole)
