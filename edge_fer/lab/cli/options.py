"""Options that several commands share."""

from __future__ import annotations

from typing import get_args

import typer

from edge_fer.errors import ConfigError, ModelError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.datasets import Layout
from edge_fer.lab.datasets.dataset import SPLITS, Split, find_split
from edge_fer.lab.evaluation.record import LabelSet
from edge_fer.settings import ClassifySettings

LAYOUT_HELP = (
    "auto, affectnet, affectnet-automatic, clips, fer2013, ferplus, folders or rafdb; needed where class folders are "
    "named by numbers, for AffectNet's automatically labelled faces, and for clips without their record."
)


MODEL_HELP = "Name of the classifier in the manifest; default: the runtime's, or the only one of the folder."

NETWORK = typer.Option(help="Whose weights they are, where the file does not say: see `edge-fer lab networks`.")


def model_of(name: str | None, store: ModelStore) -> str:
    """The name of a classifier: the one that was asked for, the runtime's default, or the only one of the folder.

    Raises:
        ModelError: when none was asked for, and the folder has several others.
    """
    found = [known for known, spec in store.specs.items() if spec.task == "classify"]
    usual = ClassifySettings().model
    if name is not None or usual in found:
        return name or usual
    if len(found) != 1:
        raise ModelError(f"expected --model with one of {', '.join(found) or 'no classifier at all'}, found none")
    return found[0]


def layout_of(name: str) -> Layout:
    """The layout of that name.

    Raises:
        ConfigError: when there is none.
    """
    for layout in get_args(Layout):
        if layout == name:
            return layout
    raise ConfigError(f"expected a layout ({', '.join(get_args(Layout))}), found `{name}`")


def labels_of(name: str) -> LabelSet:
    """The label set of that name.

    Raises:
        ConfigError: when there is none.
    """
    for labels in get_args(LabelSet):
        if labels == name:
            return labels
    raise ConfigError(f"expected --labels first or second, found `{name}`")


def split_of(name: str) -> Split:
    """The split of that name.

    Raises:
        ConfigError: when there is none.
    """
    found = find_split(name)
    if found is None:
        raise ConfigError(f"expected a split ({', '.join(SPLITS.values())}), found `{name}`")
    return found
