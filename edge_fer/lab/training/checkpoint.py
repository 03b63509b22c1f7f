"""What a training run leaves in its folder, in files that are whole or not there."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from edge_fer.errors import ModelError
from edge_fer.lab.files import replacing
from edge_fer.lab.training.training_log import Row, write_table

CHECKPOINT, BEST, LAST, TABLE, CURVES = "checkpoint.pt", "best.npz", "last.npz", "log.csv", "curves.png"
"""What a run leaves in its folder, beside the weights at the end of each stage, under the stage's name.

Weights are the averaged ones where the recipe averages; the best are those of the last stage, or of a detector those
with the best mean average precision.
"""
FORMAT = 2
"""Of checkpoints; grows when an older one can no longer be resumed from."""


class RunFolder:
    """The folder of a run.

    Args:
        path: the folder.
        writes: whether this process writes into it; of several one does.
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self.path = path
        self._writes = writes

    def write(self, name: str, writer: Callable[[Path], None]) -> None:
        """Have a file of that name written.

        Raises:
            OutputError: when it cannot be.
        """
        if self._writes:
            writer(self.path / name)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write the state of the run; see `write`."""
        self.write(CHECKPOINT, lambda path: save_checkpoint(path, state))

    def save_log(self, rows: Sequence[Row], plot: Callable[[Path, Sequence[Row]], None]) -> None:
        """Write the figures of each epoch, as a table and as curves that `plot` draws; see `write`."""
        self.write(TABLE, lambda path: write_table(path, rows))
        self.write(CURVES, lambda path: plot(path, rows))


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state of a run: tensors, numbers, strings, and lists and dictionaries of these.

    Raises:
        OutputError: when it cannot be written.
    """
    with replacing(path) as file:
        torch.save({"format": FORMAT} | state, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read the state of a run; no code in the file is executed.

    Raises:
        ModelError: when there is no checkpoint, or it is not one of ours.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(
            f"expected a checkpoint at {path}, found: {error.strerror}; train without --resume first"
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise ModelError(f"expected a checkpoint at {path}, found a damaged file; train without --resume") from error
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise ModelError(f"expected a checkpoint of format {FORMAT} at {path}, found {found}; train without --resume")
    return state
