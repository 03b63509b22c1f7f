"""The recipes that come along say what they should, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_fer.errors import ConfigError
from edge_fer.lab.training.recipe_files import load_recipe, recipe_names

pytestmark = pytest.mark.lab


def test_the_recipes_that_come_along() -> None:
    assert recipe_names() == [
        "deep-emotion",
        "distil",
        "edge",
        "emonet-inception",
        "emonet-inception-features",
        "emonet-resnet50",
        "emonet-resnet50-features",
        "face-teacher",
        "fan",
        "finetune",
        "lite",
        "resnet18",
        "thesis",
        "thesis-vgg",
    ]
    for name in recipe_names():
        assert load_recipe(name).name == name


def test_the_thesis_is_what_was_published() -> None:
    recipe = load_recipe("thesis")
    assert [(stage.data, stage.train, stage.lr) for stage in recipe.stages] == [
        ("noisy", "top", 1e-3),
        ("noisy", "all", 1e-5),
        ("clean", "all", 1e-5),
    ]
    assert recipe.dropout == 0.5
    for stage in recipe.stages:
        assert stage.size == 224
        assert (stage.optimizer.kind, stage.optimizer.betas, stage.schedule) == ("adam", (0.9, 0.999), "constant")
        assert stage.loss.class_weights == 1
        assert not stage.loss.votes
        ranges = stage.augmentation
        assert min(ranges.flip, ranges.rotation, ranges.scale) > 0
        assert ranges.model_copy(update={"flip": 0, "rotation": 0, "scale": 0}) == type(ranges)()


def test_the_published_senet_is_an_option_of_the_thesis() -> None:
    recipe = load_recipe("thesis", ["start.top=standard_normal"], ["top"])
    assert [stage.name for stage in recipe.stages] == ["noisy", "clean"]
    assert recipe.start.top == "standard_normal"


def test_vgg_face_goes_the_way_of_the_thesis() -> None:
    ours, theirs = load_recipe("thesis-vgg"), load_recipe("thesis")
    assert ours.start.network == "vgg_face"
    assert (ours.stages, ours.dropout) == (theirs.stages, theirs.dropout)


@pytest.mark.parametrize(("name", "size"), [("emonet-resnet50", 197), ("emonet-inception", 139)])
@pytest.mark.parametrize("features", ["", "-features"])
def test_emonet_has_its_two_phases(name: str, size: int, features: str) -> None:
    recipe = load_recipe(name + features)
    assert recipe.start.network.endswith("_features") == bool(features)
    head, everything = recipe.stages
    assert (head.train, head.epochs, head.batch, head.lr, head.optimizer.kind) == ("top", 5, 64, 1e-3, "adam")
    optimizer = everything.optimizer
    assert (everything.train, everything.epochs, everything.lr) == ("all", 50, 1e-3)
    assert (optimizer.kind, optimizer.momentum, optimizer.nesterov) == ("sgd", 0.9, True)
    assert everything.schedule == "plateau"
    assert everything.patience is not None
    assert {head.size, everything.size} == {size}
    ranges = head.augmentation
    assert ranges.rotation == 10
    assert min(ranges.flip, ranges.shear, ranges.scale) > 0


def test_deep_emotion_is_trained_as_published() -> None:
    (stage,) = load_recipe("deep-emotion").stages
    assert (stage.epochs, stage.lr, stage.optimizer.kind, stage.size) == (500, 5e-3, "adam", 48)
    assert stage.optimizer.decay_layers == ("fc1", "head", "second")


def test_the_lite_network_goes_on_from_trained_weights() -> None:
    recipe = load_recipe("lite")
    assert recipe.start.network == "mobilenet_v1"
    assert recipe.start.needs_weights
    assert recipe.teachers == {}


def test_distil_has_two_names_of_teachers() -> None:
    assert load_recipe("distil").teachers == {"faces": "mobilenet_v1", "expressions": None}
    assert load_recipe("distil", skip=["match"]).teachers == {"expressions": None}


def test_changes_go_by_name() -> None:
    recipe = load_recipe("edge", ["stages.full.epochs=1", "stages.full.augmentation.flip=0", "seed=7", "ema=null"])
    assert recipe.stages[1].epochs == 1
    assert recipe.stages[1].augmentation.flip == 0
    assert recipe.stages[0].augmentation.flip == 0.5
    assert (recipe.seed, recipe.ema) == (7, None)


@pytest.mark.parametrize(
    ("changes", "skip", "message"),
    [
        (["seed"], [], r"expected --set KEY=VALUE"),
        (["stages.last.epochs=1"], [], r"expected a stage \(top, noisy, clean\) in --set .*, found `last`"),
        (["stages.top.loss.distillation=0.3"], [], r"from the averaged network, and `ema` is null"),
        (
            ["stages.top.teacher.answers=2"],
            [],
            r"`stages\.0\.teacher\.answers`: input should be less than or equal to 1",
        ),
        (["start.width=0.3"], [], r"`start.width`: input should be a multiple of 0.125"),
        (["seed.x=1"], [], r"recipe thesis: `seed`: input should be a valid integer"),
        (["stages.top=1"], [], r"a key inside a section"),
        (["seed=["], [], r"expected a YAML value in --set"),
        (["stages.top.lr=-1"], [], r"recipe thesis: `stages\.0\.lr`: input should be greater than 0, not -1"),
        (["dropuot=0.1"], [], r"recipe thesis: `dropuot`"),
        (["stages.top.name=noisy"], [], r"each stage needs a name of its own"),
        ([], ["last"], r"in --skip last, found `last`"),
        ([], ["top", "noisy", "clean"], r"recipe thesis: `stages`"),
    ],
)
def test_a_wrong_change_is_named(changes: list[str], skip: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("thesis", changes, skip)


def test_a_wrong_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"found thesi, did you mean `thesis`\?"):
        load_recipe("thesi")
    with pytest.raises(ConfigError, match=r"expected a recipe at .*mine\.yaml, found: No such file"):
        load_recipe(str(tmp_path / "mine.yaml"))
    path = tmp_path / "mine.yaml"
    path.write_text("- 1")
    with pytest.raises(ConfigError, match=r"found a list"):
        load_recipe(str(path))
    path.write_text("a: [")
    with pytest.raises(ConfigError, match=r"expected YAML in"):
        load_recipe(str(path))
    path.write_text("name: mine\nstages: [{name: all, epochs: 2, lr: 0.1}]")
    assert load_recipe(str(path)).stages[0].epochs == 2
