"""Options that several commands share."""

from __future__ import annotations

from typing import get_args

import typer

from edge_fer.errors import ConfigError
from edge_fer.lab.datasets import Layout
from edge_fer.lab.datasets.dataset import SPLITS, Split, find_split
from edge_fer.settings import ClassifySettings

LAYOUT_HELP = "auto, affectnet, fer2013, ferplus, folders or rafdb; needed where class folders are named by numbers."


DEFAULT_MODEL = ClassifySettings().model
"""The classifier that the runtime uses where the settings name none."""

NETWORK = typer.Option(help="Whose weights they are, where the file does not say: see `edge-fer lab networks`.")


def layout_of(name: str) -> Layout:
    """The layout of that name.

    Raises:
        ConfigError: when there is none.
    """
    for layout in get_args(Layout):
        if layout == name:
            return layout
    raise ConfigError(f"expected a layout ({', '.join(get_args(Layout))}), found `{name}`")


def split_of(name: str) -> Split:
    """The split of that name.

    Raises:
        ConfigError: when there is none.
    """
    found = find_split(name)
    if found is None:
        raise ConfigError(f"expected a split ({', '.join(SPLITS.values())}), found `{name}`")
    return found
