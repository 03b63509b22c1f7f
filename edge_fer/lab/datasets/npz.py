"""Arrays from .npz files that somebody names: what is wrong with one is one line."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError


def read_npz(path: Path, what: str, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """Some arrays of an .npz file by their names.

    Args:
        path: the file.
        what: it should hold, for messages.
        names: of the arrays that must be there.
        optional: of those that may be missing.

    Raises:
        SourceError: when the file cannot be read, is none, or lacks an array.
    """
    arrays: dict[str, NDArray[Any]] | None = None
    there: list[str] = []
    wrong = f"expected {what} in {path}, found"
    try:
        # For a file that is no archive numpy's message suggests to unpickle it.
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:
                    there = archive.files
                    arrays = {name: archive[name] for name in (*names, *optional) if name in there}
    except OSError as error:
        raise SourceError(f"expected {what} at {path}, found: {error.strerror or error}; check the path") from error
    except (EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(f"{wrong} a damaged file ({error}); get it again") from error
    if arrays is None:
        raise SourceError(f"{wrong} a file that is no .npz archive, or not whole; check the path")
    for name in names:
        if name not in arrays:
            raise SourceError(f"{wrong} no array `{name}` (there is: {', '.join(there[:5]) or 'none'}); check the path")
    return arrays
