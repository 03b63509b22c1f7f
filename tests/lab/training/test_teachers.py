"""Teachers: what they answer, that it is learned, and that a distilled run can be interrupted like any other."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.console import silent
from edge_fer.lab.datasets.pictures import resized
from edge_fer.lab.networks.base import new_head
from edge_fer.lab.networks.mobilenet_v1 import MobileNetV1
from edge_fer.lab.networks.se_resnet50 import SEResNet50
from edge_fer.lab.training.augment import as_tensor, averaged
from edge_fer.lab.training.batches import Batches
from edge_fer.lab.training.checkpoint import TABLE
from edge_fer.lab.training.loop import Trainer
from edge_fer.lab.training.multi_task import MultiTaskModel
from edge_fer.lab.training.recipe import Recipe, Stage
from edge_fer.lab.training.state import Options
from edge_fer.lab.training.teachers import Teachers, check_teachers, open_teachers, with_answers
from edge_fer.lab.weights.npz import Weights, save_weights
from tests.lab.support.networks.tiny_net import TinyNet
from tests.lab.training.test_loop import (
    EVERYTHING,
    FailsAt,
    _one_thread,
    check_same,
    faces,
    finish,
    folder_of_faces,
    invoke,
)

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore::DeprecationWarning:matplotlib.*")]
__all__ = ["_one_thread"]


def model(seed: int = 0, feature_sizes: dict[str, int] | None = None) -> MultiTaskModel:
    torch.manual_seed(seed)
    return MultiTaskModel(TinyNet(), new_head(12), 0.1, feature_sizes=feature_sizes)


def teachers(*seeds: int) -> Teachers:
    group = Teachers([model(seed) for seed in seeds or (7, 8)], digest=f"{seeds}")
    group.study(faces(), silent)
    return group


def recipe(**stage: Any) -> Recipe:
    """Two stages, with a teacher each, the second with everything switched on."""
    common = {"batch": 8, "lr": 3e-3, "augmentation": EVERYTHING}
    loss = {"mixup": 0.4, "second": 0.5, "distillation": 0.2}
    stages = [
        {"name": "match", "size": 32, "epochs": 2, "teacher": {"name": "faces", "features": 1.0}} | common,
        {"name": "teach", "size": 36, "epochs": 2, "balance": 0.5, "loss": loss}
        | {"teacher": {"name": "expressions", "answers": 0.5, "features": 0.5}}
        | common
        | stage,
    ]
    return Recipe.model_validate({"name": "distilled", "seed": 3, "ema": 0.9, "stages": stages})


def distilled_run(folder: Path, options: Options | None = None) -> Trainer:
    groups = {"faces": teachers(5), "expressions": teachers(7, 8)}
    sizes = {name: group.feature_count for name, group in groups.items()}
    return Trainer(model(0, sizes), recipe(), {"faces": faces()}, folder, options, groups)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 14])
def test_a_stopped_run_with_teachers_goes_on_to_the_same_result(tmp_path: Path, step: int) -> None:
    whole = finish(distilled_run(tmp_path / "whole"), tmp_path / "whole")
    options = Options()
    stopped = Options(reporter=FailsAt(step, options.stopping.set), stopping=options.stopping)
    assert not distilled_run(tmp_path / "run", stopped).fit()
    resumed = distilled_run(tmp_path / "run")
    resumed.resume()
    check_same(finish(resumed, tmp_path / "run"), whole)


def test_a_run_is_not_resumed_with_other_teachers(tmp_path: Path) -> None:
    plan = recipe()
    groups = {"faces": teachers(5), "expressions": teachers(7)}
    sizes = {name: group.feature_count for name, group in groups.items()}
    options = Options()
    options.stopping.set()
    assert not Trainer(model(0, sizes), plan, {"faces": faces()}, tmp_path, options, groups).fit()
    other = Trainer(model(0, sizes), plan, {"faces": faces()}, tmp_path, None, groups | {"faces": teachers(6)})
    with pytest.raises(ConfigError, match="found others"):
        other.resume()


def test_teachers_see_what_the_network_sees_and_their_mean_answer_counts() -> None:
    group = teachers()
    views = as_tensor(list(faces(5).images[np.arange(5)])).repeat(1, 1, 2, 2)
    lesson = group(views)
    answers = []
    for one in group.models:
        pictures = (averaged(views, 36) / 255 - 0.5) / 0.25
        answers.append(torch.softmax(one.net(pictures.expand(-1, 3, -1, -1)), dim=1))
    torch.testing.assert_close(lesson.answers, sum(answers) / 2)
    assert lesson.second is not None
    assert lesson.features.shape == (5, 24)


def test_features_are_counted_in_their_deviations() -> None:
    group, data = Teachers([model(7)]), faces(60)
    right = group.study(data, silent)
    features = group(as_tensor(resized(data.images, 36))).features
    varied = group.deviation > group.deviation.min()
    assert features.mean(dim=0).abs().max() < 0.05
    assert ((features.std(dim=0) - 1).abs()[varied] < 0.05).all()
    assert 0 <= right <= 1


def test_a_part_of_the_targets_is_the_teachers() -> None:
    lesson = teachers()(torch.full((2, 1, 36, 36), 80.0))
    targets, second = torch.eye(7)[:2], torch.stack([torch.eye(7)[0], torch.zeros(7)])
    mixed, mixed_second = with_answers(targets, second, lesson, 0.25)
    torch.testing.assert_close(mixed, 0.75 * targets + 0.25 * lesson.answers)
    torch.testing.assert_close(mixed_second.sum(dim=1), torch.tensor([1.0, 0.25]))
    without = with_answers(targets, second, lesson._replace(second=None), 0.25)[1]
    torch.testing.assert_close(without, second)


def test_the_network_comes_nearer_to_its_teachers_features(tmp_path: Path) -> None:
    group, stage = teachers(5), {"name": "match", "size": 36, "batch": 8, "epochs": 2, "epoch_faces": 400, "lr": 1e-2}
    plan = Recipe.model_validate(
        {"name": "r", "stages": [stage | {"teacher": {"features": 1.0}, "optimizer": {"head_rate": 1}}]}
    )
    run = Trainer(model(0, {"teacher": 12}), plan, {"faces": faces()}, tmp_path, None, {"teacher": group})
    run.fit()
    with (tmp_path / TABLE).open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[1] < 0.8 * losses[0]


def test_views_are_as_large_as_the_teachers_want_them() -> None:
    stage = Stage(name="s", size=32, batch=4, epochs=1, lr=1e-3)
    data = faces(40)
    plain = Batches(data, stage, (0, 0), TinyNet().input).batch(0)
    batch = Batches(data, stage, (0, 0), TinyNet().input, view=64).batch(0)
    assert plain.views is None
    assert batch.views is not None
    assert (batch.images.shape[-1], batch.views.shape[-1]) == (32, 64)
    expected = (averaged(batch.views, 32) / 255 - 0.5) / 0.25
    torch.testing.assert_close(batch.images, expected.expand(-1, 3, -1, -1))


def test_rare_labels_are_drawn_more_often() -> None:
    data = faces(70).take(np.array([0] + [1] * 29 + [2] * 30))
    drawn = {}
    for balance in (0.0, 1.0):
        stage = Stage(name="s", size=32, batch=60, epochs=1, lr=1e-3, balance=balance)
        batches = Batches(data, stage, (0, 0), TinyNet().input)
        drawn[balance] = np.mean([data.labels[batches.indices(step)] == data.labels[0] for step in range(30)])
    assert drawn[0.0] == pytest.approx(1 / 60)
    assert drawn[1.0] == pytest.approx(1 / 3, abs=0.04)


def test_pooled_features_lead_to_the_features_that_the_head_reads() -> None:
    net = SEResNet50(0.125, resolution=32).eval()
    picture = torch.randn(2, 3, 32, 32)
    pooled = net.pooled(picture)
    assert pooled.shape == (2, net.pooled_size) == (2, 256)
    torch.testing.assert_close(net.after_pool(pooled), net.features(picture))
    assert MobileNetV1(0.125).pooled_size == 128


def test_teachers_are_read_from_files_and_wrong_ones_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(tmp_path / f"{name}.npz", Weights(SEResNet50(0.125, resolution=48), new_head(1000)))
    save_weights(tmp_path / "coloured.npz", Weights(SEResNet50(0.125, colour="rgb")))
    group = open_teachers(f"{tmp_path}/a.npz,{tmp_path}/b.npz", None, "grey")
    assert (group.view, group.feature_count, len(group.models)) == (48, 512, 2)
    assert all(isinstance(one.second, nn.Linear) for one in group.models)
    with pytest.raises(ConfigError, match=r"a teacher that sees grey .* found .*coloured\.npz: it sees rgb"):
        open_teachers(f"{tmp_path}/coloured.npz", None, "grey")
    with pytest.raises(ModelError, match=r"expected weights of mobilenet_v1 in .*a\.npz, found those of se_resnet50"):
        open_teachers(f"{tmp_path}/a.npz", "mobilenet_v1", "grey")


def test_missing_and_needless_teachers_are_named() -> None:
    with pytest.raises(
        ConfigError, match=r"expected --teacher expressions=WEIGHTS for the recipe distilled, found none"
    ):
        check_teachers(recipe(), {"faces": ""})
    with pytest.raises(ConfigError, match=r"expected no --teacher other for the recipe distilled"):
        check_teachers(recipe(), {"faces": "", "expressions": "", "other": ""})


@pytest.mark.slow
def test_distil_from_the_command_line(tmp_path: Path) -> None:
    """All three stages on the real networks, small enough for a test."""
    data, out = folder_of_faces(tmp_path / "faces"), tmp_path / "run"
    save_weights(tmp_path / "student.npz", Weights(SEResNet50(0.125), new_head(1000)))
    for name in ("faces", "expressions"):
        save_weights(tmp_path / f"{name}.npz", Weights(MobileNetV1(0.125, resolution=48), new_head(128)))
    small = [
        part for stage in ("match", "teach", "full") for name in ("size=32", "epochs=1", "epoch_faces=8", "batch=8")
        for part in ("--set", f"stages.{stage}.{name}")
    ]  # fmt: skip
    command = ("train", "distil", "--weights", tmp_path / "student.npz", "--data", data, "--out", out, *small)
    with pytest.raises(ConfigError, match=r"expected --teacher expressions=WEIGHTS for the recipe distil, found none"):
        invoke(*command)
    both = [part for name in ("faces", "expressions") for part in ("--teacher", f"{name}={tmp_path}/{name}.npz")]
    result = invoke(*command, *both, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "teachers `expressions`: right on" in result.output
    assert "teachers `faces`" not in result.output.replace("features of the teachers `faces`", "")
    assert {"match.npz", "teach.npz", "full.npz", "best.npz"} <= {path.name for path in out.iterdir()}
