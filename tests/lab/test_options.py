"""What the commands of the lab take where nothing was said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edge_fer.errors import ModelError
from edge_fer.lab.cli.options import model_of
from edge_fer.settings import ClassifySettings

USUAL = ClassifySettings().model


def store_of(**tasks: str) -> Any:
    return SimpleNamespace(specs={name: SimpleNamespace(task=task) for name, task in tasks.items()})


@pytest.mark.parametrize(
    ("asked", "tasks", "name"),
    [
        (None, {"other": "classify", USUAL: "classify"}, USUAL),
        (None, {"mine": "classify", "mtcnn_pnet": "propose"}, "mine"),
        ("other", {"other": "classify", USUAL: "classify"}, "other"),
        ("gone", {"mine": "classify"}, "gone"),  # whose absence its reader tells
    ],
)
def test_the_only_classifier_of_a_folder_needs_no_name(asked: str | None, tasks: dict[str, str], name: str) -> None:
    assert model_of(asked, store_of(**tasks)) == name


@pytest.mark.parametrize(("tasks", "said"), [({"a": "classify", "b": "classify"}, "a, b"), ({}, "no classifier")])
def test_of_several_one_must_be_named(tasks: dict[str, str], said: str) -> None:
    with pytest.raises(ModelError, match=f"expected --model with one of {said}"):
        model_of(None, store_of(**tasks))
