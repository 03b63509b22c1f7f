"""Arrays of weights files (.npz, Keras's .h5), brought into the parameters of a network one by one."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_fer.errors import ModelError


@dataclass(frozen=True, slots=True)
class NamedArrays:
    """The arrays of a weights file.

    Attributes:
        arrays: each array by its name; kernels of convolutions as (outputs, inputs, height, width), of dense layers as
            (outputs, inputs).
        path: the file that they come from, for messages.
        owner: the network whose weights they should be, for messages.
    """

    arrays: Mapping[str, NDArray[Any]]
    path: Path
    owner: str

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def fill(self, parameter: Any, name: str) -> None:
        """Copy the array of a name into a parameter or buffer.

        Raises:
            ModelError: when there is no such array, or it has another shape.
        """
        array = self.arrays.get(name)
        if array is None:
            raise ModelError(f"expected the array `{name}` in {self.path}, found none; this is not {self.owner}")
        if tuple(parameter.shape) != array.shape:
            raise ModelError(
                f"expected `{name}` of shape {tuple(parameter.shape)} in {self.path}, found {array.shape}; "
                f"this is not {self.owner}"
            )
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array, np.float32)))


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an .npz file by its name.

    Raises:
        ModelError: when the file cannot be read, or is none.
    """
    try:
        # For a file that is no archive numpy's message suggests a pickle.
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                file.seek(0)
                with np.load(file) as archive:
                    return dict(archive)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise ModelError(
            f"expected weights (.npz) at {path}, found: {error.strerror or error}; check the path"
        ) from error
    except (EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"expected weights (.npz) in {path}, found a damaged file ({error}); get it again") from error
    raise ModelError(f"expected weights (.npz) in {path}, found {size} bytes that are none; give a run's best.npz")


def read_keras(path: Path, owner: str) -> dict[str, NDArray[np.float32]]:
    """Every array of a Keras 2 weights file (.h5) by `layer/array`, such as `conv1/bn/gamma`.

    Args:
        path: the file, of weights alone or of a whole model.
        owner: the network whose weights they should be, for messages.

    Returns:
        Float32; kernels are transposed: of convolutions to (outputs, inputs, height, width), of dense layers to
        (outputs, inputs).

    Raises:
        ModelError: when the file cannot be read, or is no such file.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)  # the file of a whole model holds its weights in this group
            return {
                f"{layer}/{_own_name(name)}": _kernel(np.asarray(root[layer][name], np.float32))
                for layer in map(_text, root.attrs["layer_names"])
                for name in map(_text, root[layer].attrs["weight_names"])
            }
    except (OSError, KeyError) as error:
        raise ModelError(f"expected {owner} (.h5) in {path}, found: {error}; check the path") from error


def _kernel(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def _own_name(name: str) -> str:
    """`gamma` of `conv1/bn/gamma:0`."""
    return name.rpartition("/")[2].partition(":")[0]


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
