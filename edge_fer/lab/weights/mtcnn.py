"""MTCNN's weights, from the `mtcnn` package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_fer.errors import ModelError
from edge_fer.lab.networks.mtcnn import MtcnnNet, o_net, p_net, r_net

MTCNN_NETS = {"pnet": p_net, "rnet": r_net, "onet": o_net}


def load_mtcnn(name: str) -> MtcnnNet:
    """One of MTCNN's nets with the weights of the package `mtcnn`, ready to run.

    Args:
        name: `pnet`, `rnet` or `onet`.

    Raises:
        ModelError: when the package's file does not fit the net.
    """
    # Found without importing the package, which would load TensorFlow.
    package = find_spec("mtcnn")
    if package is None or package.origin is None:
        raise ModelError("expected the package mtcnn for its weights, found none; pip install '.[lab]' in its checkout")
    arrays = iter(joblib.load(Path(package.origin).parent / "assets" / "weights" / f"{name}.lz4"))
    net: MtcnnNet = MTCNN_NETS[name]()
    try:
        with torch.no_grad():
            _fill_mtcnn(net, arrays)
    except StopIteration as error:
        raise ModelError(f"expected more arrays in mtcnn's {name}.lz4, found its end; install mtcnn==1.0.0") from error
    surplus = len(list(arrays))
    if surplus:
        raise ModelError(f"expected no more arrays in mtcnn's {name}.lz4, found {surplus}; install mtcnn==1.0.0")
    return net.eval()


def _fill_mtcnn(net: MtcnnNet, arrays: Iterator[NDArray[np.float32]]) -> None:
    """Take the arrays in order: kernel and bias of each layer, or the slopes of a PReLU."""
    channels = 0
    flattened = False
    for layer in net.modules():
        match layer:
            case nn.Conv2d():
                _assign(layer.weight, next(arrays).transpose(3, 2, 0, 1))
                _assign(layer.bias, next(arrays))
                channels = layer.out_channels
            case nn.PReLU():
                _assign(layer.weight, next(arrays).reshape(-1))
            case nn.Flatten():
                flattened = True
            case nn.Linear():
                kernel = next(arrays)
                _assign(layer.weight, _rows_from_map(kernel, channels).T if flattened else kernel.T)
                _assign(layer.bias, next(arrays))
                flattened = False


def _assign(parameter: Any, array: NDArray[np.float32]) -> None:
    if tuple(parameter.shape) != array.shape:
        raise ModelError(f"expected an array of shape {tuple(parameter.shape)}, found {array.shape}; check the weights")
    parameter.copy_(torch.from_numpy(np.ascontiguousarray(array, np.float32)))


def _rows_from_map(kernel: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Reorder a dense kernel's rows from (width, height, channel) to PyTorch's (channel, height, width)."""
    side = int((len(kernel) // channels) ** 0.5)
    cube = kernel.reshape(side, side, channels, -1).transpose(2, 1, 0, 3)
    return cube.reshape(len(kernel), -1)
