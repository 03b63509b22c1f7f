"""The learning rate and the optimizers; a run under any of them goes on exactly from its checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from edge_fer.errors import ConfigError
from edge_fer.lab.arrays import read_npz
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.training.checkpoint import BEST, LAST
from edge_fer.lab.training.loop import Trainer
from edge_fer.lab.training.objective import effective_number, inverse_frequency, label_weights, make_optimizer
from edge_fer.lab.training.recipe import Loss, Optimizer, Recipe, Stage
from edge_fer.lab.training.schedule import best_in_words, is_over, learning_rate, note_epoch
from edge_fer.lab.training.state import Options, TrainingState
from tests.lab.training.test_loop import FailsAt, check_same, faces, finish, log, simple, tiny

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore::DeprecationWarning:matplotlib.*")]


def stage(**changes: Any) -> Stage:
    return Stage(**{"name": "x", "epochs": 9, "lr": 1.0} | changes)


def test_the_learning_rate_goes_up_and_comes_down() -> None:
    stage = Stage(name="x", epochs=1, lr=1.0, lr_end=0.1, schedule="cosine", warmup=0.2)
    assert [learning_rate(stage, progress) for progress in (0, 0.1, 0.2)] == pytest.approx([0, 0.5, 1.0])
    assert learning_rate(stage, 0.6) == pytest.approx(0.55)
    assert learning_rate(stage, 1.0) == pytest.approx(0.1)
    constant = Stage(name="x", epochs=1, lr=1.0)
    assert {learning_rate(constant, progress) for progress in (0, 0.5, 1.0)} == {1.0}


def test_the_learning_rate_falls_at_each_milestone() -> None:
    steps = stage(schedule="step", milestones=[0.5, 0.75], factor=0.2)
    rates = [learning_rate(steps, progress) for progress in (0.0, 0.49, 0.5, 0.74, 0.75, 1.0)]
    assert rates == pytest.approx([1.0, 1.0, 0.2, 0.2, 0.04, 0.04])


def rates_of(plateau: Stage, losses: list[float]) -> list[float]:
    at, rates = TrainingState(), []
    for loss in losses:
        note_epoch(plateau, at, loss, 0.5)
        rates.append(learning_rate(plateau, 0.5, at.reduction))
    return rates


def test_the_learning_rate_falls_when_the_validation_loss_does_not() -> None:
    plateau = stage(schedule="plateau", plateau_epochs=2, factor=0.1, lr_end=5e-3)
    found = rates_of(plateau, [3.0, 2.0, 2.0, 1.9, 1.9, 2.5, 1.8, 1.9, 1.8, 1.9, 1.9])
    assert found == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 5e-3])
    assert set(rates_of(stage(), [3.0] * 9)) == {1.0}


@pytest.mark.parametrize(("by", "best"), [("accuracy", [True, True, False]), ("loss", [True, False, True])])
def test_the_best_epoch_is_that_of_accuracy_or_loss(by: str, best: list[bool]) -> None:
    plan, at = stage(best_by=by, patience=1), TrainingState()
    found = [note_epoch(plan, at, loss, accuracy) for loss, accuracy in ((1.5, 0.2), (1.6, 0.4), (1.4, 0.3))]
    assert found == best
    assert is_over(plan, at) == (by == "accuracy")
    assert best_in_words(plan, at) == ("40.00%" if by == "accuracy" else "loss 1.4000")


def misleading() -> Dataset:
    """Faces on which a network does the worse in validation the more it learns."""
    data = faces()
    return replace(data, labels=np.where(data.splits == Split.VALIDATION, (data.labels + 3) % 7, data.labels))


def descending(**changes: Any) -> Recipe:
    """Two stages under SGD: one on a plateau from the first epoch on, one with milestones."""
    sgd = {"kind": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    common = {"size": 40, "batch": 8, "epochs": 3, "epoch_faces": 24, "optimizer": sgd, "best_by": "loss"}
    reduced = {"lr": 0.1, "schedule": "plateau", "plateau_epochs": 1, "factor": 0.5}
    stepped = {"lr": 0.01, "schedule": "step", "milestones": [0.3, 0.7], "factor": 0.1}
    stages = [{"name": "reduced", **common, **reduced}, {"name": "stepped", **common, **stepped}]
    return Recipe.model_validate({"name": "descending", "seed": 3, "ema": 0.9, "stages": stages} | changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("whole")
    return finish(Trainer(tiny(), descending(), {"faces": misleading()}, folder), folder)


@pytest.mark.slow
@pytest.mark.parametrize("step", [5, 9, 13])
def test_a_stopped_run_under_sgd_goes_on_to_the_same_result(tmp_path: Path, whole: Any, step: int) -> None:
    """Between two reductions, between the stages, and between two milestones."""
    options = Options()
    stopped = Options(stopping=options.stopping, reporter=FailsAt(step, options.stopping.set))
    assert not Trainer(tiny(), descending(), {"faces": misleading()}, tmp_path, stopped).fit()
    run = Trainer(tiny(seed=9), descending(), {"faces": misleading()}, tmp_path)
    run.resume()
    check_same(finish(run, tmp_path), whole)


def test_the_log_shows_the_rates_of_both_schedules(whole: Any) -> None:
    rates = [float(row["lr"]) for row in whole[1]]
    assert rates[0] == 0.1
    assert rates[:3] == pytest.approx([0.1, 0.1, 0.05])
    assert rates[3:] == pytest.approx([0.01, 0.001, 0.0001])


def test_the_best_weights_are_those_of_the_lowest_loss(tmp_path: Path) -> None:
    Trainer(tiny(), simple(epochs=9, best_by="loss", patience=2), {"faces": misleading()}, tmp_path).fit()
    losses = [float(row["val_loss"]) for row in log(tmp_path)]
    assert len(losses) == np.argmin(losses) + 1 + 2
    best, last = (read_npz(tmp_path / name)["head_ferplus.weight"] for name in (BEST, LAST))
    assert not np.array_equal(best, last)


def test_sgd_steps_as_published() -> None:
    """Nesterov's step, as PyTorch and Keras compute it: the gradient plus the momentum of what it becomes."""
    model = tiny()
    optimizer = make_optimizer(model, Optimizer(kind="sgd", nesterov=True), 0.1)
    before = model.net.head.bias.detach().clone()
    for _ in range(2):
        model.net.head.bias.grad = torch.ones(7)
        optimizer.step()
    torch.testing.assert_close(model.net.head.bias, before - 0.1 * (1 + 0.9) - 0.1 * (1 + 0.9 * 1.9))


def test_decay_may_be_of_some_layers_only() -> None:
    model = tiny()
    groups = make_optimizer(model, Optimizer(weight_decay=0.1, decay_layers=("dense", "second")), 1.0).param_groups
    decayed = {id(parameter) for group in groups if group["weight_decay"] for parameter in group["params"]}
    assert model.second is not None
    assert decayed == {id(model.net.dense.weight), id(model.second.weight)}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    with pytest.raises(ConfigError, match=r"in optimizer\.decay_layers, found `dens`, did you mean `dense`\?"):
        make_optimizer(model, Optimizer(weight_decay=0.1, decay_layers=("dens",)), 1.0)


def test_class_balanced_weights_are_those_of_the_paper() -> None:
    labels = np.array([0] * 1000 + [1] * 100 + [6] * 10)
    weights = effective_number(labels, 0.99)
    expected = {count: (1 - 0.99) / (1 - 0.99**count) for count in (1000, 100, 10)}
    assert weights[6] / weights[0] == pytest.approx(expected[10] / expected[1000])
    assert weights[1] / weights[0] == pytest.approx(expected[100] / expected[1000])
    assert weights[2] == 0
    assert weights[labels].mean() == pytest.approx(1)
    np.testing.assert_allclose(effective_number(labels, 1 - 1e-9), inverse_frequency(labels), rtol=1e-4)
    np.testing.assert_array_equal(label_weights(labels, Loss(balanced=0.99)), weights)
    np.testing.assert_array_equal(label_weights(labels, Loss(class_weights=0.5)), inverse_frequency(labels, 0.5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "step"}, r"milestones are of `schedule: step`, which needs some, and it is `step`"),
        ({"milestones": [0.5]}, r"milestones are of `schedule: step`, which needs some, and it is `constant`"),
        ({"schedule": "step", "milestones": [1.5]}, r"less than 1"),
        ({"optimizer": {"nesterov": True}}, r"nesterov is of `kind: sgd` with momentum, and there is `adamw`"),
        ({"loss": {"balanced": 0.9, "class_weights": 1}}, r"class_weights and balanced weigh the labels"),
    ],
)
def test_what_does_not_go_together_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        stage(**changes)
