"""Channels of like reach, so that one scale for all of a tensor wastes less on the narrow ones.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019: a positive factor
passes through a PReLU and a maximum, so that a channel may leave one layer smaller and be enlarged by the next.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_fer.lab.networks.mtcnn import MtcnnNet

_POWER = 0.5  # halfway: the next layer's weights share a scale, too, and grow as unlike as the channels grow alike
_LEAST = 0.01  # of the widest channel's reach, so that one that is always 0 is not divided by it


def equalize(net: MtcnnNet, batches: Sequence[NDArray[np.float32]]) -> MtcnnNet:
    """A net that computes the same, with the channels of its trunk scaled to be more alike.

    Args:
        net: the net with its weights; it is not changed.
        batches: its inputs, `(n, height, width, 3)` float32.
    """
    equal = copy.deepcopy(net)
    layers = [layer for layer in equal.trunk if isinstance(layer, nn.Conv2d | nn.Linear)]
    heads = [layer for head in equal.heads.values() for layer in head if isinstance(layer, nn.Conv2d | nn.Linear)]
    readers = [*([layer] for layer in layers[1:]), heads]
    with torch.no_grad():
        for layer, reach, following in zip(layers, _reaches(net, batches), readers, strict=True):
            factors = (reach / reach.max()).clamp(min=_LEAST) ** _POWER
            layer.weight /= factors.reshape(-1, *[1] * (layer.weight.ndim - 1))
            layer.bias /= factors
            for reader in following:
                # A dense layer after a map reads each channel's pixels one after the other.
                repeated = factors.repeat_interleave(reader.weight.shape[1] // len(factors))
                reader.weight *= repeated.reshape(1, -1, *[1] * (reader.weight.ndim - 2))
    return equal


def _reaches(net: MtcnnNet, batches: Sequence[NDArray[np.float32]]) -> list[torch.Tensor]:
    """The greatest magnitude of each channel, for each convolution and dense layer of the trunk."""
    found: list[torch.Tensor] = []
    for batch in batches:
        values = torch.from_numpy(batch).permute(0, 3, 1, 2)
        reaches = []
        for layer in net.trunk:
            values = layer(values)
            if isinstance(layer, nn.Conv2d | nn.Linear):
                reaches.append(values.abs().transpose(0, 1).flatten(1).amax(1))
        found = [torch.maximum(*pair) for pair in zip(found, reaches, strict=True)] if found else reaches
    return found
