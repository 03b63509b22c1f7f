"""Files that are whole or not there: weights, logs, and the state of a training run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from edge_fer.errors import ModelError
from edge_fer.lab.files import replacing

FORMAT = 1
"""Of checkpoints; grows when an older one can no longer be resumed from."""


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
