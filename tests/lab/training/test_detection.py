"""Training a detector: it learns, it resumes exactly, and its recipes are whole."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_fer.errors import ConfigError
from edge_fer.lab.datasets.dataset import Split, hard
from edge_fer.lab.datasets.detection.backgrounds import make_backgrounds
from edge_fer.lab.datasets.detection.face_boxes import usual_boxes
from edge_fer.lab.datasets.detection.pictures import LabelledPicture, labelled_picture
from edge_fer.lab.datasets.detection.scenes import ScenePlan, Scenes
from edge_fer.lab.training.checkpoint import BEST, LAST, TABLE
from edge_fer.lab.training.detection import DetectionTrainer
from edge_fer.lab.training.detection_batches import DetectionBatches, cut_at_random, fitted, recoloured
from edge_fer.lab.training.detection_recipe import DetectionRecipe, Variation
from edge_fer.lab.training.detection_start import initial_detector
from edge_fer.lab.training.recipe_files import detection_recipe_names, load_detection_recipe
from edge_fer.lab.training.state import Options
from edge_fer.lab.training.training_log import SilentTrainingReporter
from edge_fer.lab.weights.detector import load_detector

pytestmark = pytest.mark.lab

_AS_THEY_ARE = {"jitter": 0, "flip": 0, "saturation": 1, "exposure": 1, "hue": 0}


def _scenes(count: int, side: int) -> Scenes:
    """Scenes of crops that each expression has painted in its own way."""
    ramp = np.arange(48, dtype=np.float32)
    waves = [128 + 120 * np.sin(ramp[:, None] * (label % 3) / 3 + ramp * (label // 3) / 2) for label in range(7)]
    images = np.stack(waves * 2).astype(np.uint8)
    faces = hard("waves", images, np.arange(14) % 7, np.zeros(14, np.uint8), {})
    plan = ScenePlan(most_faces=2, smallest=90, largest=160, empty=0, most_negatives=0, unlabelled=0, faults=False)
    return Scenes(faces, usual_boxes(14), make_backgrounds(Split.TRAINING, count=4), count, side, 0, plan)


class _Fixed:
    """The same few pictures over and over."""

    name = "fixed"

    def __init__(self, scenes: Scenes) -> None:
        self._pictures = [scenes[number] for number in range(len(scenes))]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int, /) -> LabelledPicture:
        return self._pictures[index]


def _recipe(**changes: object) -> DetectionRecipe:
    settings: dict[str, object] = {
        "name": "test",
        "width": 0.0625,
        "activation": "relu",
        "size": 64,
        "batch": 4,
        "epochs": 2,
        "epoch_pictures": 8,
        "validation_pictures": 4,
        "lr": 1e-3,
        "burn_in": 2,
        "ema": 0.5,
        "optimizer": {"kind": "sgd"},
    }
    return DetectionRecipe.model_validate(settings | changes)


def _weights(path: Path) -> list[torch.Tensor]:
    return list(load_detector(path).state_dict().values())


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(), (64, 96)])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    recipe, scenes = _recipe(sizes=sizes), _scenes(12, 64)

    def trainer(folder: str, stopping: threading.Event | None = None) -> DetectionTrainer:
        net = initial_detector(recipe, scenes, SilentTrainingReporter())
        options = Options(stopping=stopping or threading.Event(), clock=itertools.count().__next__)
        return DetectionTrainer(net, recipe, scenes, scenes, tmp_path / folder, options)

    assert trainer("whole").fit()
    stopped = threading.Event()
    stopped.set()  # ends after the first step
    assert not trainer("parts", stopped).fit()
    again = trainer("parts")
    again.resume()
    assert again.fit()
    pairs = zip(_weights(tmp_path / "whole" / LAST), _weights(tmp_path / "parts" / LAST), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert len((tmp_path / "parts" / TABLE).read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_run_ends_by_the_clock(tmp_path: Path) -> None:
    scenes, recipe = _scenes(12, 64), _recipe(epochs=1000, minutes=1)
    clock = itertools.count(step=9).__next__  # seconds
    net = initial_detector(recipe, scenes, SilentTrainingReporter())
    assert DetectionTrainer(net, recipe, scenes, scenes, tmp_path, Options(clock=clock)).fit()
    assert 1 < len((tmp_path / TABLE).read_text().splitlines()) < 5


@pytest.mark.slow
def test_a_run_that_has_ended_goes_on_longer(tmp_path: Path) -> None:
    """At a constant rate it becomes the very run that was this long from the beginning."""
    scenes = _scenes(12, 64)

    def trainer(folder: str, **length: object) -> DetectionTrainer:
        recipe = _recipe(**length)
        net = initial_detector(recipe, scenes, SilentTrainingReporter())
        options = Options(clock=itertools.count().__next__)
        return DetectionTrainer(net, recipe, scenes, scenes, tmp_path / folder, options)

    assert trainer("long", epochs=3).fit()
    assert trainer("short", epochs=1).fit()
    for epochs in (1, 3):  # at its end first
        longer = trainer("short", epochs=epochs)
        longer.resume()
        assert longer.fit()
    pairs = zip(_weights(tmp_path / "long" / LAST), _weights(tmp_path / "short" / LAST), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert len((tmp_path / "short" / TABLE).read_text().splitlines()) == 4
    limited = trainer("short", epochs=4, minutes=1000)
    limited.resume()
    assert limited.fit()


@pytest.mark.slow
def test_a_run_of_another_recipe_is_not_resumed(tmp_path: Path) -> None:
    scenes = _scenes(12, 64)
    for lr in (1e-3, 2e-3):
        recipe = _recipe(lr=lr, epochs=1, epoch_pictures=4)
        net = initial_detector(recipe, scenes, SilentTrainingReporter())
        trainer = DetectionTrainer(net, recipe, scenes, scenes, tmp_path)
        if lr == 1e-3:
            trainer.fit()
        else:
            with pytest.raises(ConfigError, match="found others"):
                trainer.resume()


@pytest.mark.slow
def test_it_learns_eight_scenes_by_heart(tmp_path: Path) -> None:
    eight = _Fixed(_scenes(8, 64))
    recipe = _recipe(
        width=0.25,
        batch=8,
        epochs=1,
        epoch_pictures=8 * 150,
        validation_pictures=8,
        lr=3e-3,
        schedule="cosine",
        burn_in=10,
        ema=None,
        variation=_AS_THEY_ARE,
        optimizer={"kind": "adamw", "grad_norm": 20},
    )
    net = initial_detector(recipe, eight, SilentTrainingReporter())
    DetectionTrainer(net, recipe, eight, eight, tmp_path).fit()
    (row,) = (tmp_path / TABLE).read_text().splitlines()[1:]
    names = (tmp_path / TABLE).read_text().splitlines()[0].split(",")
    figures = dict(zip(names, row.split(","), strict=True))
    assert float(figures["val_map"]) > 0.95
    assert float(figures["val_faces"]) > 0.95
    assert (tmp_path / BEST).is_file()


def test_shipped_recipes_are_whole() -> None:
    recipes = {name: load_detection_recipe(name) for name in detection_recipe_names()}
    assert recipes.keys() == {"yolov3-tiny", "yolov3-tiny-published"}
    published = recipes["yolov3-tiny-published"]
    assert published.epochs * published.steps_per_epoch == 14_000
    assert (published.batch, published.size, published.lr, published.milestones) == (64, 416, 1e-3, (0.8, 0.9))
    assert recipes["yolov3-tiny"].activation == "relu"
    assert load_detection_recipe("yolov3-tiny", ["scenes.most_faces=3"]).scenes.most_faces == 3


@pytest.mark.parametrize(
    "change", ["size=100", "scenes.most_people=3", "sizes=[64, 70]", "schedule=step", "scenes.smallest=230"]
)
def test_wrong_recipes_are_told(change: str) -> None:
    with pytest.raises(ConfigError, match="yolov3-tiny"):
        load_detection_recipe("yolov3-tiny", [change])


def _marked() -> LabelledPicture:
    """A wide picture that is white within its only box."""
    image = np.zeros((60, 120, 3), np.uint8)
    image[20:40, 30:60] = 255
    return labelled_picture(image, [(30, 20, 60, 40)], [3])


def _is_white_inside(picture: LabelledPicture) -> bool:
    left, top, right, bottom = picture.boxes[0].round().astype(int).tolist()
    inside = picture.image[top + 2 : bottom - 2, left + 2 : right - 2]
    rest = picture.image.copy()
    rest[top - 2 : bottom + 2, left - 2 : right + 2] = 0
    return bool((inside > 250).all() and (rest <= 127).all())


def test_boxes_follow_the_letterbox() -> None:
    found = fitted(_marked(), 96)
    assert found.image.shape == (96, 96, 3)
    assert _is_white_inside(found)


def test_boxes_follow_cuts_and_mirrors() -> None:
    variation, marked, seen = Variation(jitter=0.3, flip=0.5), _marked(), 0
    for seed in range(20):
        found = cut_at_random(marked, 96, variation, np.random.default_rng(seed))
        if len(found.boxes) and found.boxes.min() > 3 and found.boxes.max() < 93:
            assert _is_white_inside(found)
            seen += 1
    assert seen > 10


def test_faces_that_are_cut_away_are_no_faces() -> None:
    picture = labelled_picture(np.zeros((100, 100, 3), np.uint8), [(0, 0, 8, 8), (40, 40, 60, 60)], [1, 2])
    counts = {len(cut_at_random(picture, 96, Variation(jitter=0.4), np.random.default_rng(n)).boxes) for n in range(20)}
    assert counts == {1, 2}


def test_colours_change_and_shapes_do_not() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    same = recoloured(image, Variation.model_validate(_AS_THEY_ARE), np.random.default_rng(0))
    assert np.abs(same.astype(int) - image).max() <= 6  # the rounding of HSV
    changed = recoloured(image, Variation(), np.random.default_rng(1))
    assert np.abs(changed.astype(int) - image).mean() > 5


def test_every_picture_of_a_set_is_shown_once_a_lap() -> None:
    marks = [labelled_picture(np.zeros((64, 64, 3), np.uint8), [(5, 5, 10 + 2 * n, 30)], [n]) for n in range(6)]

    class Listed:
        name = "listed"

        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int, /) -> LabelledPicture:
            return marks[index]

    batches = DetectionBatches(Listed(), _recipe(batch=6, variation=_AS_THEY_ARE))
    labels = [batches.batch(step).faces.targets.argmax(dim=1).tolist() for step in range(2)]
    assert sorted(labels[0]) == sorted(labels[1]) == list(range(6))
    assert labels[0] != labels[1]


@pytest.mark.slow
def test_the_published_network_trains_for_an_epoch(tmp_path: Path) -> None:
    small = (
        "size=64",
        "sizes=[64, 96]",
        "batch=2",
        "epochs=1",
        "epoch_pictures=4",
        "validation_pictures=2",
        "burn_in=0",
    )
    recipe, scenes = load_detection_recipe("yolov3-tiny-published", small), _scenes(12, 64)
    net = initial_detector(recipe, scenes, SilentTrainingReporter())
    before = net.heads[0].weight.detach().clone()
    assert DetectionTrainer(net, recipe, scenes, scenes, tmp_path).fit()
    trained = load_detector(tmp_path / LAST)
    assert (trained.width, trained.activation, trained.resolution) == (1.0, "leaky", 64)
    assert not torch.equal(before, trained.heads[0].weight)
