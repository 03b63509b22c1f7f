"""Weights of `keras-vggface`'s SENet-50, for who has them.

Cao et al., "VGGFace2: A dataset for recognising faces across pose and age", 2018, in the Keras files of
`rcmalli_vggface_tf_(notop_)senet50.h5`. That network differs in epsilon, padding and input: see
`networks.VARIANTS`. Its classifier of persons is left out; the top starts new.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.lab.networks.se_resnet50 import Bottleneck, ConvNorm, SEResNet50

VARIANT = "keras-vggface"

_STAGES = (2, 3, 4, 5)
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_CONVOLUTIONS = {"reduce": "1x1_reduce", "conv3x3": "3x3", "expand": "1x1_increase", "shortcut": "1x1_proj"}
_SQUEEZES = {"se_down": "1x1_down", "se_up": "1x1_up"}

_Arrays = Mapping[tuple[str, str], NDArray[np.float32]]


def load_vggface(path: Path) -> SEResNet50:
    """SE-ResNet-50 with a trunk that knows faces, and a new top.

    Args:
        path: the .h5 file, with or without its own top.

    Raises:
        ModelError: when the file cannot be read, or an array is missing or of another shape.
    """
    try:
        with h5py.File(path, "r") as file:
            arrays = _read(file)
    except (OSError, KeyError) as error:
        raise ModelError(
            f"expected keras-vggface's SENet-50 (.h5) in {path}, found: {error}; check the path"
        ) from error
    net = SEResNet50(VARIANT)
    source = _Source(arrays, path)
    with torch.no_grad():
        source.fill_conv_norm(net.stem, "conv1/7x7_s2")
        for stage in _STAGES:
            blocks: Any = getattr(net, f"stage{stage}")
            for number, block in enumerate(blocks, 1):
                source.fill_block(block, f"conv{stage}_{number}_")
    return net.eval()


def _read(file: Any) -> dict[tuple[str, str], NDArray[np.float32]]:
    """Every array by its layer and its own name: Keras's `layer/kernel:0` inside the group of the layer."""
    root = file.get("model_weights", file)  # a whole model's file has its weights in this group
    arrays = {}
    for raw_layer in root.attrs["layer_names"]:
        layer = _text(raw_layer)
        for raw_name in root[layer].attrs["weight_names"]:
            name = _text(raw_name)
            arrays[layer, name.rpartition("/")[2].partition(":")[0]] = np.asarray(root[layer][name], np.float32)
    return arrays


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


class _Source:
    """The arrays of a file, brought into layers."""

    def __init__(self, arrays: _Arrays, path: Path) -> None:
        self._arrays, self._path = arrays, path

    def fill_block(self, block: Bottleneck, prefix: str) -> None:
        """Fill a bottleneck."""
        for ours, theirs in _CONVOLUTIONS.items():
            layer = getattr(block, ours)
            if isinstance(layer, ConvNorm):
                self.fill_conv_norm(layer, prefix + theirs)
        for ours, theirs in _SQUEEZES.items():
            layer = getattr(block, ours)
            self._fill(layer.weight, prefix + theirs, "kernel")
            self._fill(layer.bias, prefix + theirs, "bias")

    def fill_conv_norm(self, layer: ConvNorm, name: str) -> None:
        """Fill a convolution and its batch norm."""
        self._fill(layer.conv.weight, name, "kernel")
        for ours, theirs in _NORM.items():
            self._fill(getattr(layer.bn, ours), f"{name}/bn", theirs)

    def _fill(self, parameter: Any, layer: str, name: str) -> None:
        array = self._arrays.get((layer, name))
        if array is None:
            raise ModelError(
                f"expected `{layer}/{name}` in {self._path}, found none; this is not keras-vggface's SENet-50"
            )
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        if array.shape != parameter.shape:
            raise ModelError(
                f"expected `{layer}/{name}` of shape {tuple(parameter.shape)} in {self._path}, found {array.shape}; "
                "this is not keras-vggface's SENet-50"
            )
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
