"""Trainings of a tiny network with everything switched on, for a test to start in several processes.

torchrun --nproc-per-node 2 -m tests.lab.support.tiny_trainer FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from edge_fer.lab.training.distributed import Processes, joined
from edge_fer.lab.training.loop import Trainer
from edge_fer.lab.training.recipe import Recipe
from edge_fer.lab.training.state import Options
from tests.lab.training.test_loop import faces, recipe
from tests.lab.training.test_teachers import model, teachers


def twenty_steps(*, taught: bool) -> Recipe:
    """Ten of the top, and ten of the whole network, with a teacher or without."""
    plan = recipe(seed=5).model_dump(mode="json")
    plan["stages"][1] |= {"epoch_faces": 40, "balance": 0.5}
    if taught:
        plan["stages"][1]["teacher"] = {"answers": 0.5, "features": 0.5}
    return Recipe.model_validate(plan)


def train(folder: Path, processes: Processes) -> None:
    """Train without a teacher into the folder `alone`, and with one into `taught`."""
    torch.set_num_threads(1)
    options = Options(processes=processes)
    Trainer(model(), twenty_steps(taught=False), {"faces": faces()}, folder / "alone", options).fit()
    group = teachers(7, 8)
    student = model(0, {"teacher": group.feature_count})
    plan = twenty_steps(taught=True)
    Trainer(student, plan, {"faces": faces()}, folder / "taught", options, {"teacher": group}).fit()


if __name__ == "__main__":
    with joined() as those:
        train(Path(sys.argv[1]), those)
