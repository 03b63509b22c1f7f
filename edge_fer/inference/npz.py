"""The arrays of an .npz file whose maker is not known."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray


def unpacked(content: bytes, most_bytes: int) -> dict[str, NDArray[Any]]:
    """Every array by its name.

    Args:
        content: of the file.
        most_bytes: of all arrays together, unpacked.

    Raises:
        ValueError: when they are larger; the parsers of zip and numpy raise a dozen further kinds at damage.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > most_bytes:
        raise ValueError(f"{size} bytes of arrays")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
