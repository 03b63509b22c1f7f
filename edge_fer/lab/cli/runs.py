"""What the commands that train have in common: the folder of a run, its device, and how it is stopped."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from edge_fer.errors import ConfigError

if TYPE_CHECKING:
    from edge_fer.lab.training.recipe import Section

STOPPED = 130
"""Exit code of a training that was stopped and can be resumed."""


def check_folder(folder: Path, *, resume: bool) -> None:
    """Refuse the folder of another run, which would be overwritten.

    Raises:
        ConfigError: when there is a run in it that is not resumed.
    """
    from edge_fer.lab.training.loop import CHECKPOINT

    if not resume and (folder / CHECKPOINT).exists():
        raise ConfigError(f"expected no run in {folder}, found {CHECKPOINT}; give --resume, or another --out")


def device_of(name: str) -> str:
    """The device of the option `--device`.

    Raises:
        ConfigError: when there is none of that name.
    """
    import torch

    there = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda") or (name == "cuda" and not there):
        raise ConfigError(
            f"expected --device auto, cpu{' or cuda' if there else ' (there is no cuda)'}, found `{name}`"
        )
    return ("cuda" if there else "cpu") if name == "auto" else name


def keep_recipe(folder: Path, recipe: Section) -> None:
    """Write a recipe, with every default and change, beside what it makes.

    Raises:
        OutputError: when it cannot be written.
    """
    import yaml

    from edge_fer.lab.files import replacing

    with replacing(folder / "recipe.yaml") as file:
        file.write(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).encode())


def stop_on_signals() -> threading.Event:
    """An event that the first SIGINT or SIGTERM sets; the second one ends the process."""
    stopping = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        stopping.set()
        signal.signal(number, signal.SIG_DFL)  # a second one ends at once

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopping
