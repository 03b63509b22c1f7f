"""Trained weights into the networks; every array is accounted for."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_fer.errors import ModelError
from edge_fer.lab.files import replacing
from edge_fer.lab.networks.base import INPUT_SIZE
from edge_fer.lab.networks.se_resnet50 import VARIANTS, WIDTHS, SEResNet50
from edge_fer.lab.weights.provenance import Origin
from edge_fer.types import LABELS


def assign(parameter: Any, array: NDArray[Any]) -> None:
    """Fill a parameter from an array of its shape."""
    if parameter.shape != array.shape:
        raise ModelError(f"expected an array of shape {tuple(parameter.shape)}, found {array.shape}; check the weights")
    parameter.copy_(torch.from_numpy(np.ascontiguousarray(array, np.float32)))


def load_se_resnet50(path: Path) -> SEResNet50:
    """SE-ResNet-50 with the weights of an .npz file, ready to run.

    Args:
        path: arrays named like the network's parameters, with `bn.{gamma,beta,mean,variance}`
            and `head_ferplus`; float16 or float32. `variant` names one of `VARIANTS`; without it, ours.
            `resolution` is the network's; without it, that of the input. `width` likewise; without it, 1.

    Raises:
        ModelError: when the file cannot be read, or an array is missing or of another shape.
    """
    with _arrays(path) as arrays, torch.no_grad():
        net = SEResNet50(_variant(arrays, path), _resolution(arrays, path), _width(arrays, path))
        for name, parameter in net.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                _assign_named(parameter, arrays, _array_name(name), path)
    return net.eval()


@contextmanager
def _arrays(path: Path) -> Iterator[Any]:
    """The arrays of an .npz file.

    Raises:
        ModelError: when it cannot be read, or is none.
    """
    try:
        with path.open("rb") as file:
            _check_archive(file, path)
            with np.load(file) as arrays:
                yield arrays
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(
            f"expected weights (.npz) at {path}, found: {error.strerror or error}; check the path"
        ) from error
    except (EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"expected weights (.npz) in {path}, found a damaged file ({error}); get it again") from error


def _check_archive(file: IO[bytes], path: Path) -> None:
    """Whether numpy may be asked, which says of what is no archive that it might be a pickle."""
    if not zipfile.is_zipfile(file):
        size = file.seek(0, os.SEEK_END)
        raise ModelError(f"expected weights (.npz) in {path}, found {size} bytes that are none; give a run's best.npz")
    file.seek(0)


def save_se_resnet50(
    path: Path, net: SEResNet50, second: nn.Linear | None = None, origin: Origin | None = None
) -> None:
    """Write what `load_se_resnet50` reads: float16 for matrices and kernels, float32 for vectors.

    Args:
        path: an .npz file; replaced at once, or not at all.
        net: the network.
        second: another head on the same features, kept as `head_fer2013`; see `load_second_head`.
        origin: what training went on from; see `load_origin`.

    Raises:
        OutputError: when the file cannot be written.
    """
    arrays: dict[str, Any] = {name: np.array(getattr(net, name)) for name in ("variant", "resolution", "width")}
    for name, value in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            arrays[_array_name(name)] = _compact(value)
    if second is not None:
        arrays |= {f"head_fer2013.{name}": _compact(value) for name, value in second.state_dict().items()}
    if origin is not None:
        arrays["origin"] = np.array(origin.model_dump_json())
    with replacing(path) as file:
        np.savez(file, **arrays)


def load_second_head(path: Path) -> nn.Linear | None:
    """The second head of an .npz file that `load_se_resnet50` takes; null where there is none."""
    with _arrays(path) as arrays, torch.no_grad():
        if "head_fer2013.weight" not in arrays:
            return None
        head = nn.Linear(1000, len(LABELS))
        for name, parameter in head.state_dict().items():
            _assign_named(parameter, arrays, f"head_fer2013.{name}", path)
    return head


def load_origin(path: Path) -> Origin | None:
    """What the weights of such a file go on from; null where it does not say.

    Raises:
        ModelError: when the file cannot be read.
    """
    with _arrays(path) as arrays:
        return Origin.model_validate_json(str(arrays["origin"])) if "origin" in arrays else None


def _compact(value: Any) -> NDArray[Any]:
    array = value.detach().cpu().numpy()
    return array.astype(np.float16 if array.ndim > 1 else np.float32)


def _variant(arrays: Any, path: Path) -> str:
    variant = str(arrays["variant"]) if "variant" in arrays else "edge-fer"
    if variant not in VARIANTS:
        known = ", ".join(VARIANTS)
        raise ModelError(f"expected a variant of SE-ResNet-50 ({known}) in {path}, found `{variant}`; update edge-fer")
    return variant


def _resolution(arrays: Any, path: Path) -> int:
    resolution = int(arrays["resolution"]) if "resolution" in arrays else INPUT_SIZE
    if resolution < 1:
        raise ModelError(f"expected a resolution in pixels in {path}, found {resolution}; these weights are damaged")
    return resolution


def _width(arrays: Any, path: Path) -> float:
    width = float(arrays["width"]) if "width" in arrays else 1.0
    if width not in WIDTHS:
        raise ModelError(
            f"expected a width of {WIDTHS[0]:g} to 1 in {path}, found {width:g}; these weights are damaged"
        )
    return width


_ARRAY_NAMES = {
    "bn.weight": "bn.gamma",
    "bn.bias": "bn.beta",
    "bn.running_mean": "bn.mean",
    "bn.running_var": "bn.variance",
}


def _array_name(parameter: str) -> str:
    for ours, theirs in _ARRAY_NAMES.items():
        if parameter.endswith(ours):
            return parameter.removesuffix(ours) + theirs
    return parameter.replace("head.", "head_ferplus.")


def _assign_named(parameter: Any, arrays: Any, name: str, path: Path) -> None:
    if name not in arrays:
        raise ModelError(f"expected the array `{name}` in {path}, found none; these are not this network's weights")
    array = arrays[name]
    if parameter.shape != array.shape:
        raise ModelError(
            f"expected `{name}` of shape {tuple(parameter.shape)} in {path}, found {array.shape}; "
            "these are not this network's weights"
        )
    parameter.copy_(torch.from_numpy(array.astype(np.float32)))
