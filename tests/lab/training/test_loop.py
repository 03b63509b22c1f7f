"""Training: what it learns, what stands still, and that an interrupted run ends like any other."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from edge_fer.errors import ConfigError, EdgeFerError, ModelError, OutputError, SourceError
from edge_fer.lab.cli.app import app
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.datasets.pictures import resized
from edge_fer.lab.files import replacing
from edge_fer.lab.networks.base import NetworkInput, new_head
from edge_fer.lab.networks.se_resnet50 import VARIANTS, SEResNet50
from edge_fer.lab.training.augment import as_tensor, degrade, erase, standardise, varied, warp
from edge_fer.lab.training.batches import Batches, fitting, mixed, plain_batches, resize
from edge_fer.lab.training.checkpoint import CHECKPOINT, CURVES, LAST, TABLE
from edge_fer.lab.training.loop import Trainer
from edge_fer.lab.training.multi_task import MultiTaskModel, WeightEma, initialise, set_training
from edge_fer.lab.training.objective import cross_entropy, inverse_frequency, make_optimizer, towards
from edge_fer.lab.training.recipe import Augmentation, Recipe, Stage, Start
from edge_fer.lab.training.state import Options
from edge_fer.lab.training.training_log import SilentTrainingReporter
from edge_fer.lab.weights.npz import Weights, load_weights, save_weights
from edge_fer.lab.weights.provenance import Origin
from edge_fer.types import LABELS
from tests.lab.datasets.test_datasets import picture
from tests.lab.support.networks.tiny_net import TinyNet

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore::DeprecationWarning:matplotlib.*")]

EVERYTHING = dict.fromkeys(Augmentation.model_fields, 0.3) | {"rotation": 20}
TIMES = ("faces_per_s", "elapsed_s")


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(seed: int = 0) -> MultiTaskModel:
    torch.manual_seed(seed)
    return MultiTaskModel(TinyNet(), new_head(12), 0.2)


def faces(count: int = 61, seed: int = 0) -> Dataset:
    """Pictures with a bright bar at a place that says the label; every third has no second label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(LABELS)
    images = rng.integers(0, 60, (count, 40, 40), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[5 * label + 1 : 5 * label + 5] += 150
    targets = np.full((count, len(LABELS)), 0.2 / 6, np.float32)
    targets[np.arange(count), labels] = 0.8
    usage = (np.arange(count) >= count * 3 // 4).astype(np.uint8)
    second = np.where(np.arange(count) % 3 == 0, -1, labels)
    return Dataset("bars", images, labels, targets, usage, second)


def generators(count: int) -> list[np.random.Generator]:
    """One a picture."""
    return np.random.default_rng(1).spawn(count)


def recipe(**changes: Any) -> Recipe:
    """Two short stages with everything switched on."""
    loss = {
        "smoothing": 0.05,
        "class_weights": 0.5,
        "distillation": 0.2,
        "mixup": 0.4,
        "second": 0.5,
        "second_smoothing": 0.1,
    }
    common = {"data": "faces", "batch": 8, "loss": loss, "augmentation": EVERYTHING, "schedule": "cosine"}
    optimizer = {"betas": [0.9, 0.99], "weight_decay": 0.05, "grad_norm": 1.0}
    stages = [
        {"name": "top", "train": "top", "size": 32, "epochs": 2, "lr": 1e-3} | common,
        {"name": "all", "size": 48, "epochs": 2, "epoch_faces": 32, "lr": 3e-3, "warmup": 0.2, "optimizer": optimizer}
        | common,
    ]
    return Recipe.model_validate({"name": "tiny", "seed": 3, "ema": 0.9, "stages": stages} | changes)


def simple(**stage: Any) -> Recipe:
    """One stage with everything switched off."""
    return Recipe(
        name="simple", stages=(Stage(**{"name": "all", "size": 40, "batch": 8, "epochs": 2, "lr": 1e-2} | stage),)
    )


class Interrupted(Exception):
    """The power failed."""


class Said(SilentTrainingReporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


class FailsAt(SilentTrainingReporter):
    """Calls something at the step of a number."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self._left, self._act = number, act

    def step(self, stage: str, progress: float, metrics: str) -> None:
        self._left -= 1
        if self._left == 0:
            self._act()


def fail() -> None:
    raise Interrupted


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open() as file:
        return list(csv.DictReader(file))


def finish(run: Trainer, folder: Path) -> tuple[dict[str, Any], list[dict[str, str]], dict[str, np.ndarray]]:
    """Carry out a run; the state that it leaves, its log but for the times, and its weights."""
    assert run.fit()
    state = torch.load(folder / CHECKPOINT, weights_only=True)
    rows = [{key: value for key, value in row.items() if key not in TIMES} for row in log(folder)]
    with np.load(folder / LAST) as arrays:
        return state, rows, dict(arrays)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    return finish(Trainer(tiny(), recipe(), {"faces": faces()}, folder), folder)


def check_same(found: Any, expected: Any) -> None:
    for part in ("model", "average"):
        assert found[0][part].keys() == expected[0][part].keys()
        for name, value in expected[0][part].items():
            assert torch.equal(found[0][part][name], value), f"{part} {name}"
    assert found[1] == expected[1]
    for name, array in expected[2].items():
        np.testing.assert_array_equal(found[2][name], array)


@pytest.mark.parametrize("step", [2, 5, 10, 11, 13, 16, 18])
def test_a_stopped_run_goes_on_to_the_same_result(tmp_path: Path, uninterrupted: Any, step: int) -> None:
    """In the middle of an epoch, at its end, at the end of a stage, and in the last step."""
    options = Options()
    stopped = Options(stopping=options.stopping, reporter=FailsAt(step, options.stopping.set))
    ended = Trainer(tiny(), recipe(), {"faces": faces()}, tmp_path, stopped).fit()
    assert ended == (step == 18)
    run = Trainer(tiny(seed=9), recipe(), {"faces": faces()}, tmp_path, Options(workers=3))
    run.resume()
    check_same(finish(run, tmp_path), uninterrupted)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path, uninterrupted: Any) -> None:
    options = Options(checkpoint_s=0, reporter=FailsAt(14, fail))
    with pytest.raises(Interrupted):
        Trainer(tiny(), recipe(), {"faces": faces()}, tmp_path, options).fit()
    run = Trainer(tiny(seed=9), recipe(), {"faces": faces()}, tmp_path)
    run.resume()
    check_same(finish(run, tmp_path), uninterrupted)


def test_a_run_that_has_ended_goes_on_longer(tmp_path: Path) -> None:
    """At a constant rate it becomes the very run that was this long from the beginning."""
    expected = finish(Trainer(tiny(), simple(epochs=3), {"faces": faces()}, tmp_path / "long"), tmp_path / "long")
    folder, reporter = tmp_path / "short", Said()
    finish(Trainer(tiny(), simple(epochs=1), {"faces": faces()}, folder), folder)
    longer = Trainer(tiny(seed=9), simple(epochs=3), {"faces": faces()}, folder, Options(reporter=reporter))
    longer.resume()
    assert "all has another length: epochs 1 before, 3 now" in reporter.lines
    found = finish(longer, folder)
    for name, array in expected[2].items():
        np.testing.assert_array_equal(found[2][name], array)
    assert found[1] == expected[1]


@pytest.mark.parametrize("change", [{"minutes": 1000.0}, {"patience": 50}, {"epochs": 9}])
def test_each_limit_may_change(tmp_path: Path, change: dict[str, Any]) -> None:
    ended = {"epochs": 8, "minutes": 0.5, "patience": 1}
    clock = itertools.count(step=4).__next__  # seconds
    assert Trainer(tiny(), simple(**ended), {"faces": faces()}, tmp_path, Options(clock=clock)).fit()
    steps = int(log(tmp_path)[-1]["step"])
    without = {"epochs": 8, "minutes": None, "patience": None} | change
    run = Trainer(tiny(), simple(**without), {"faces": faces()}, tmp_path)
    run.resume()
    assert run.fit()
    assert int(log(tmp_path)[-1]["step"]) > steps


def test_a_run_that_has_ended_and_is_not_longer_says_so(tmp_path: Path) -> None:
    first = finish(Trainer(tiny(), simple(), {"faces": faces()}, tmp_path), tmp_path)
    for epochs in (2, 1):  # or shorter
        reporter = Said()
        again = Trainer(tiny(seed=9), simple(epochs=epochs), {"faces": faces()}, tmp_path, Options(reporter=reporter))
        again.resume()
        found = finish(again, tmp_path)
        assert any(line.startswith("nothing is left to train in all") for line in reporter.lines)
        assert found[1] == first[1]
        for name, array in first[2].items():
            np.testing.assert_array_equal(found[2][name], array)


def test_a_shorter_stage_ends_with_figures_of_what_it_learned(tmp_path: Path) -> None:
    options = Options(checkpoint_s=0, reporter=FailsAt(3, fail))
    with pytest.raises(Interrupted):
        Trainer(tiny(), simple(), {"faces": faces()}, tmp_path, options).fit()
    shorter = Trainer(tiny(), simple(minutes=1e-9), {"faces": faces()}, tmp_path)
    shorter.resume()
    assert shorter.fit()
    assert [(row["epoch"], row["step"]) for row in log(tmp_path)] == [("1", "2")]
    assert (tmp_path / "best.npz").is_file()


def test_a_stage_that_others_follow_keeps_its_length(tmp_path: Path) -> None:
    def long(top: int, whole: int) -> Recipe:
        plan = recipe()
        stages = [
            stage.model_copy(update={"epochs": epochs}) for stage, epochs in zip(plan.stages, (top, whole), strict=True)
        ]
        return plan.model_copy(update={"stages": tuple(stages)})

    options = Options(checkpoint_s=0, reporter=FailsAt(14, fail))
    with pytest.raises(Interrupted):
        Trainer(tiny(), recipe(), {"faces": faces()}, tmp_path, options).fit()
    with pytest.raises(ConfigError, match=r"expected epochs=2 in stage top, which is over .*, found epochs=3; give it"):
        Trainer(tiny(), long(3, 2), {"faces": faces()}, tmp_path).resume()
    Trainer(tiny(), long(2, 3), {"faces": faces()}, tmp_path).resume()


def test_the_run_depends_on_its_seed(tmp_path: Path, uninterrupted: Any) -> None:
    state, _, _ = finish(Trainer(tiny(), recipe(seed=4), {"faces": faces()}, tmp_path), tmp_path)
    assert not torch.equal(state["model"]["net.head.weight"], uninterrupted[0]["model"]["net.head.weight"])


def test_the_log_says_what_happened(uninterrupted: Any) -> None:
    _, rows, _ = uninterrupted
    assert [(row["stage"], row["epoch"], row["step"], row["updates"]) for row in rows] == [
        ("top", "1", "5", "5"),
        ("top", "2", "10", "10"),
        ("all", "1", "4", "14"),
        ("all", "2", "8", "18"),
    ]
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in ("val_accuracy", "val_balanced", "val_second"))


def test_a_run_leaves_log_curves_and_weights(tmp_path: Path) -> None:
    assert Trainer(tiny(), simple(), {"faces": faces()}, tmp_path).fit()
    assert {path.name for path in tmp_path.iterdir()} == {
        "all.npz",  # of the only stage
        "checkpoint.pt",
        "best.npz",
        "last.npz",
        "log.csv",
        "curves.png",
    }
    assert (tmp_path / CURVES).read_bytes().startswith(b"\x89PNG")


def test_it_learns(tmp_path: Path) -> None:
    Trainer(tiny(), simple(epochs=6), {"faces": faces(280)}, tmp_path).fit()
    rows = log(tmp_path)
    assert float(rows[-1]["train_loss"]) < 0.8 * float(rows[0]["train_loss"])
    assert float(rows[-1]["val_accuracy"]) > 0.9


def test_bfloat16_and_channels_last_train_too(tmp_path: Path) -> None:
    plan = simple(epochs=6).model_copy(update={"bf16": True, "channels_last": True, "ema": 0.9})
    Trainer(tiny(), plan, {"faces": faces(280)}, tmp_path).fit()
    rows = log(tmp_path)
    assert float(rows[-1]["val_accuracy"]) > 0.9


def test_the_trunk_stands_still_while_the_top_learns(tmp_path: Path) -> None:
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Trainer(model, simple(train="top"), {"faces": faces()}, tmp_path).fit()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"net.dense.weight", "net.dense.bias", "net.head.weight", "net.head.bias"}
    set_training(model, recipe().stages[1])
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(layer.training for layer in model.modules())


def test_a_stage_ends_early_when_nothing_gets_better(tmp_path: Path) -> None:
    Trainer(tiny(), simple(epochs=9, lr=1e-12, patience=2), {"faces": faces()}, tmp_path).fit()
    assert len(log(tmp_path)) == 3


def test_minutes_end_a_stage_and_bring_the_learning_rate_down(tmp_path: Path) -> None:
    seconds = iter(range(10**6))
    plan = simple(epochs=1000, minutes=1.0, epoch_faces=24, schedule="cosine")
    Trainer(tiny(), plan, {"faces": faces()}, tmp_path, Options(clock=lambda: float(next(seconds)))).fit()
    rows = log(tmp_path)
    assert 1 < len(rows) < 10
    assert 60 <= float(rows[-1]["elapsed_s"]) < 80
    assert float(rows[-1]["lr"]) < 0.1 * plan.stages[0].lr


def test_validation_may_look_at_some_faces_only(tmp_path: Path) -> None:
    first = Trainer(tiny(), simple(epochs=1, validation_faces=7), {"faces": faces(280)}, tmp_path)
    assert first.fit()
    accuracy = float(log(tmp_path)[0]["val_accuracy"])
    assert accuracy * 7 == pytest.approx(round(accuracy * 7))


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a finite loss in stage all, step \d+, found (nan|inf)"):
        Trainer(tiny(), simple(lr=1e30, epochs=9), {"faces": faces()}, tmp_path).fit()


def test_what_cannot_be_resumed_is_named(tmp_path: Path) -> None:
    data = {"faces": faces()}
    with pytest.raises(ModelError, match=r"expected a checkpoint at .*checkpoint\.pt, found: No such file"):
        Trainer(tiny(), simple(), data, tmp_path).resume()
    Trainer(tiny(), simple(epochs=1), data, tmp_path).fit()
    for plan, others in ((simple(epochs=1, lr=0.02), data), (simple(epochs=1), {"faces": faces(70)})):
        with pytest.raises(ConfigError, match=r"expected the recipe, the data and the first weights that .* was made"):
            Trainer(tiny(), plan, others, tmp_path).resume()
    other = tiny()
    other.origin = Origin(source="elsewhere", licence="another")
    with pytest.raises(ConfigError, match=r"first weights that .* was made with, found others"):
        Trainer(other, simple(epochs=1), data, tmp_path).resume()
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"found a damaged file"):
        Trainer(tiny(), simple(epochs=1), data, tmp_path).resume()
    torch.save({"format": 99}, path)
    with pytest.raises(ModelError, match=r"expected a checkpoint of format 2 .* found 99"):
        Trainer(tiny(), simple(epochs=1), data, tmp_path).resume()


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a data set for `faces`, found none; give --data faces=PATH"):
        Trainer(tiny(), simple(), {}, tmp_path)
    data = faces()
    with pytest.raises(SourceError, match=r"expected faces to validate on in bars"):
        Trainer(tiny(), simple(), {"faces": data.take(np.flatnonzero(data.splits == 0))}, tmp_path)
    with pytest.raises(SourceError, match=r"expected faces to train on in bars, found 0"):
        Trainer(tiny(), simple(), {"faces": data.take(np.flatnonzero(data.splits == 1))}, tmp_path).fit()


def write_half(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise Interrupted


def test_a_file_that_cannot_be_finished_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(Interrupted):
        write_half(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"expected to write .*file/x, found: "):
        write_half(tmp_path / "file" / "x")


def test_every_lap_holds_every_face_once_and_a_batch_follows_from_its_step() -> None:
    dataset = faces(45)
    batches = Batches(dataset, recipe().stages[1], (3, 1), TinyNet.INPUT)
    seen = np.concatenate([batches.indices(step) for step in range(45)])
    laps = seen.reshape(8, 45)
    assert (np.sort(laps) == np.arange(45)).all()
    assert not (laps[0] == laps[1]).all()
    ahead = list(batches.stream(2, 7, workers=3))
    assert len(ahead) == 5
    for step, batch in zip(range(2, 7), ahead, strict=True):
        again = batches.batch(step)
        assert torch.equal(batch.images, again.images)
        assert torch.equal(batch.targets, again.targets)
        assert torch.equal(batch.second, again.second)
    assert batch.images.shape == (8, 3, 48, 48)
    torch.testing.assert_close(batch.targets.sum(1), torch.ones(8))
    sums = batch.second.sum(1)
    assert ((sums == 0) | ((sums - 1).abs() < 1e-6)).all()


def test_pictures_without_variation_are_those_that_are_deployed() -> None:
    images = faces(6).images
    pictures = torch.from_numpy(np.asarray(images)).float()[:, None]
    warped = warp(pictures, 80, Augmentation(), generators(6))
    enlarged = resized(images, 80)
    assert np.abs(warped[:, 0].numpy() - enlarged).max() <= 1
    mirrored = warp(pictures, 80, Augmentation(flip=1), generators(6))
    assert torch.allclose(mirrored, warped.flip(3), atol=1e-2)
    (plain,) = plain_batches(faces(6), 80, 8, TinyNet.INPUT)
    np.testing.assert_allclose(plain[:, 1].numpy(), (enlarged / 255 - 0.5) / 0.25, atol=1e-5)


def test_pictures_are_turned_scaled_and_moved_as_far_as_they_may_be() -> None:
    """A white square in the middle moves by no more than it may, and all of the range is used."""
    picture = torch.zeros(400, 1, 64, 64)
    picture[:, :, 28:36, 28:36] = 255
    moved = warp(picture, 64, Augmentation(shift=0.1), generators(400))
    places = torch.arange(64.0)
    shifts = (moved.sum(dim=(1, 2)) * places).sum(1) / moved.sum(dim=(1, 2, 3)) - 31.5
    assert 5.5 < shifts.abs().max() <= 6.5
    areas = warp(picture, 64, Augmentation(scale=0.3), generators(400)).sum(dim=(1, 2, 3)) / picture[0].sum()
    assert math.exp(-0.6) - 0.05 < areas.min() < math.exp(-0.5)
    assert math.exp(0.5) < areas.max() < math.exp(0.6) + 0.05


@pytest.mark.parametrize("fault", ["shrink", "blur", "jpeg", "dark"])
def test_a_worse_camera_shows_less(fault: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 48), dtype=np.uint8)
    degraded = [degrade(image, Augmentation(**{fault: 1.0}), rng) for _ in range(20)]
    assert all(picture.shape == image.shape and picture.dtype == np.uint8 for picture in degraded)
    assert all((picture != image).any() for picture in degraded)
    if fault == "dark":
        assert np.mean([picture.mean() for picture in degraded]) < 0.8 * image.mean()
    elif fault != "jpeg":
        assert np.mean([picture.std() for picture in degraded]) < 0.8 * image.std()
    assert degrade(image, Augmentation(), rng) is image


def test_erasing_takes_rectangles_from_its_share_of_pictures() -> None:
    images = torch.full((500, 1, 20, 20), -1.0)
    erased = erase(images, 0.2, generators(500)) != -1
    hit = erased.flatten(1).any(1)
    assert 70 <= int(hit.sum()) <= 130
    assert erased[hit].flatten(1).float().mean(1).max() <= 0.17
    assert (images == -1).all()


def test_pictures_of_many_shapes_become_one() -> None:
    """A picture that is no larger than the result is degraded as it is, whichever are beside it."""
    small, wide, large = (np.full(shape, 90, np.uint8) for shape in ((20, 20), (30, 40), (90, 90)))
    assert [picture.shape for picture in fitting([small, wide, large], 48)] == [(48, 48)] * 3
    assert fitting([small, small], 48)[0] is small
    assert fitting([large, large], 48)[0].shape == (48, 48)
    images = varied([small, wide, large], 48, Augmentation(), generators(3))
    torch.testing.assert_close(images, torch.full((3, 1, 48, 48), 90.0), atol=1e-3, rtol=0)
    assert resize(wide, 24).shape == (24, 24)


def test_mixup_mixes_pictures_and_targets_alike() -> None:
    (batch,) = Batches(faces(12), simple(batch=12).stages[0], (0, 0), TinyNet.INPUT).stream(0, 1, 1)
    mixture = mixed(batch, 0.25)
    torch.testing.assert_close(mixture.images, 0.75 * batch.images + 0.25 * batch.images.flip(0))
    torch.testing.assert_close(mixture.targets, 0.75 * batch.targets + 0.25 * batch.targets.flip(0))
    known = batch.second.sum(1) > 0
    assert ((mixture.second.sum(1) > 0) == (known & known.flip(0))).all()


def test_a_grey_picture_has_three_channels_with_means_and_deviations_of_their_own() -> None:
    expected = NetworkInput(2, "grey", (0.2, 0.3, 0.4), (0.5, 0.25, 0.2))
    images = standardise(torch.full((1, 1, 2, 2), 255 * 0.7), expected)
    torch.testing.assert_close(images, torch.tensor([1.0, 1.6, 1.5]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2))


def test_a_colour_picture_enters_a_network_as_red_green_blue() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[..., 2] = 255  # BGR: red
    images = standardise(as_tensor([picture]), NetworkInput(2, "rgb", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    torch.testing.assert_close(images[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_the_loss_is_cross_entropy_over_the_faces_that_count() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 7, generator=generator)
    targets = torch.softmax(torch.randn(6, 7, generator=generator), dim=1)
    weights = torch.rand(7, generator=generator)
    expected = nn.functional.cross_entropy(logits, targets, weight=weights)
    torch.testing.assert_close(cross_entropy(logits, targets, weights), expected)
    targets[2:] = 0
    torch.testing.assert_close(cross_entropy(logits, targets), nn.functional.cross_entropy(logits[:2], targets[:2]))
    assert cross_entropy(logits, torch.zeros(6, 7)) == 0


def test_inverse_frequency_makes_the_labels_weigh_the_same() -> None:
    labels = np.array([0] * 8 + [1] * 2 + [6] * 2)
    weights = inverse_frequency(labels)
    sums = np.bincount(labels, minlength=7) * weights
    np.testing.assert_allclose(sums, [4, 4, 0, 0, 0, 0, 4])
    assert weights[labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("power", [0, 0.25, 1])
def test_a_power_of_the_frequency_leaves_some_of_the_lead(power: float) -> None:
    labels = np.array([0] * 16 + [1])
    weights = inverse_frequency(labels, power)
    assert weights[1] / weights[0] == pytest.approx(16**power)
    assert weights[labels].mean() == pytest.approx(1)


def test_a_teacher_has_its_part_of_the_targets() -> None:
    targets, logits = torch.eye(7)[:3], torch.zeros(3, 7)
    mixed_targets = towards(targets, logits, 0.3)
    torch.testing.assert_close(mixed_targets.sum(dim=1), torch.ones(3))
    assert mixed_targets[0, 0] == pytest.approx(0.7 + 0.3 / 7)
    assert mixed_targets[0, 1] == pytest.approx(0.3 / 7)


def test_decay_is_on_matrices_and_kernels_only() -> None:
    model = tiny()
    set_training(model, recipe().stages[0])
    optimizer = make_optimizer(model, recipe().stages[1].optimizer, 1e-3)
    decayed, free = optimizer.param_groups
    assert {value.ndim for value in decayed["params"]} == {2}
    assert {value.ndim for value in free["params"]} == {1}
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.05, 0)
    assert len(decayed["params"]) + len(free["params"]) == 6


def test_the_average_follows_the_weights() -> None:
    model = tiny()
    average = WeightEma(model, 0.5)
    before = average.model.net.head.bias.clone()
    with torch.no_grad():
        model.net.head.bias += 1
    average.update(model, 1)
    torch.testing.assert_close(average.model.net.head.bias, before + 9 / 11)  # early: (1 + 1) / (10 + 1)
    average.update(model, 100)
    torch.testing.assert_close(average.model.net.head.bias, before + 10 / 11)


def test_weights_begin_as_the_recipe_says() -> None:
    model = MultiTaskModel(SEResNet50(), None, 0.5)
    initialise(model, Start(block_scale=0.5), trained=False)
    assert model.net.dropout.p == 0.5
    assert (model.net.stage3.block2.expand.bn.weight == 0.5).all()
    assert (model.net.stage3.block2.reduce.bn.weight == 1).all()
    initialise(model, Start(block_scale=0.1, top="standard_normal"), trained=True)
    assert (model.net.stage3.block2.expand.bn.weight == 0.5).all()
    assert model.net.dense1000.weight.std().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("variant", VARIANTS)
def test_written_weights_are_read_again(tmp_path: Path, variant: str) -> None:
    torch.manual_seed(0)
    net = SEResNet50(variant=variant)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    second = new_head(1000)
    MultiTaskModel(net, second, 0.3).save(tmp_path / "w.npz")
    loaded = load_weights(tmp_path / "w.npz", "se_resnet50")
    again, second_again = loaded.net, loaded.second
    assert again.settings() == net.settings()
    assert second_again is not None
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = net.eval().features(image)
        torch.testing.assert_close(again(image), net(image), atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(second_again(again.features(image)), second(features), atol=2e-3, rtol=2e-3)


def test_weights_without_a_second_head_have_none(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.npz", Weights(SEResNet50(0.125)))
    assert load_weights(tmp_path / "w.npz").second is None
    np.savez(tmp_path / "other.npz", variant="vgg16")
    with pytest.raises(ModelError, match=r"other\.npz: expected a variant of SE-ResNet-50 .* found `vgg16`"):
        load_weights(tmp_path / "other.npz")


def folder_of_faces(folder: Path) -> Path:
    for split, count in {"train": 2, "valid": 1}.items():
        for label, name in enumerate(LABELS):
            for number in range(count):
                picture(folder / split / name / f"{number}.png", 30 * label + 10)
    return folder


def invoke(*arguments: str | Path) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, EdgeFerError):
        raise result.exception
    return result


def test_the_thesis_from_the_command_line(tmp_path: Path) -> None:
    """All three published stages on the real network, small enough for a test."""
    noisy, clean = folder_of_faces(tmp_path / "noisy"), folder_of_faces(tmp_path / "clean")
    small = [
        part
        for stage in ("top", "noisy", "clean")
        for part in ("--set", f"stages.{stage}.size=32", "--set", f"stages.{stage}.epochs=1")
    ]
    out = tmp_path / "run"
    command = ("train", "thesis", "--data", f"noisy={noisy}", "--data", f"clean={clean}", "--out", out, *small)
    result = invoke(*command, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert [word for word in ("top", "noisy", "clean") if f"{word} epoch 1: loss" in result.output] == [
        "top",
        "noisy",
        "clean",
    ]
    for name in ("best.npz", "last.npz"):
        assert load_weights(out / name).net.name() == "se_resnet50"
    assert {path.name for path in out.iterdir()} == {
        "best.npz",
        "checkpoint.pt",
        "curves.png",
        "last.npz",
        "log.csv",
        "recipe.yaml",
        *(f"{stage}.npz" for stage in ("top", "noisy", "clean")),
    }
    with pytest.raises(ConfigError, match=r"expected no run in .*run, found checkpoint\.pt; give --resume"):
        invoke(*command)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["thesis", "--data", "noisy=FACES"], r"expected --data clean=PATH for the recipe thesis"),
        (["thesis", "--data", "noisy=FACES", "--data", "clean=nowhere"], r"expected faces at nowhere, found nothing"),
        (["edge", "--data", "FACES", "--device", "tpu"], r"expected --device auto, cpu.*, found `tpu`"),
        (["edge", "--data", "FACES", "--layout", "tfds"], r"expected a layout \(auto, .*found `tfds`"),
        (["edge", "--data", "FACES", "--weights", "no.npz"], r"expected weights \(\.npz\) at no\.npz, found: No such"),
        (["edge", "--data", "nowhere", "--weights", "no.npz"], r"expected weights \(\.npz\) at no\.npz"),
        (["finetune", "--data", "nowhere"], r"for the recipe finetune, .*; give --weights with a file of se_resnet50"),
        (["edge", "--data", "FACES", "--weights", "no.h5"], r"expected keras-vggface's SENet-50 .* in no\.h5, found"),
    ],
)
def test_a_wrong_command_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setenv("CXX", "true")
    faces_folder = folder_of_faces(tmp_path / "faces")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EdgeFerError, match=message) as caught:
        invoke("train", *(argument.replace("FACES", str(faces_folder)) for argument in arguments))
    assert "\n" not in str(caught.value)


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"expected a C\+\+ compiler \(`no-such-compiler`\) .* compile=false"):
        invoke("train", "edge", "--data", folder_of_faces(tmp_path), "--out", tmp_path / "run", "--device", "cpu")
