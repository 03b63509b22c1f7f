"""Statistics of batch norms, measured anew."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from edge_fer.errors import SourceError
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.networks.base import Network
from edge_fer.lab.training.batches import Batches
from edge_fer.lab.training.recipe import Stage

SETTLED_ON = 256
"""Training faces that batch-norm statistics are taken from."""


def has_batch_norms(net: nn.Module) -> bool:
    """Whether a network has any batch norm."""
    return any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())


def statistics(net: nn.Module) -> int:
    """How many numbers the batch norms of a network keep: a mean and a variance for each channel."""
    norms = (layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d))
    return sum(2 * norm.num_features for norm in norms)


def settle_statistics(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give each batch norm the mean and variance of what it is given, and scales that undo them.

    The network computes what it computed before. But in training a norm uses the statistics of the batch: a norm
    that was folded away (mean 0, variance 1) would then change every output at once.

    Args:
        net: a network whose batch norms follow convolutions; it is put into evaluation.
        batches: `(n, channels, size, size)` float32, as training will give them.

    Raises:
        SourceError: when there are none.
    """
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    moments = {norm: _Moments() for norm in norms}
    hooks = [norm.register_forward_pre_hook(lambda norm, inputs: moments[norm].add(inputs[0])) for norm in norms]
    net.eval()
    try:
        with torch.no_grad():
            for images in batches:
                net(images)
    finally:
        for hook in hooks:
            hook.remove()
    with torch.no_grad():
        for norm, measured in moments.items():
            mean, variance = measured.result()
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            norm.bias += scale * (mean - norm.running_mean)
            norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)


def settle_on_faces(
    net: Network, faces: Dataset, stage: Stage, seed: int, count: int = SETTLED_ON, progress: Progress = silent
) -> None:
    """`settle_statistics` on the first batches that a stage trains on, varied as it varies them.

    Args:
        net: the network.
        faces: faces of the training split.
        stage: the stage, which says how large they are, and how varied.
        seed: seed of the recipe.
        count: how many faces, rounded up to whole batches.
        progress: called after each batch.

    Raises:
        SourceError: when there are too few faces, or one cannot be read.
    """
    batches = Batches(faces, stage, (seed, 0), net.input)
    steps = math.ceil(count / min(stage.batch, len(faces)))

    def images() -> Iterable[Tensor]:
        for step, batch in enumerate(batches.stream(0, steps, workers=1), 1):
            yield batch.images
            progress(step, steps)

    net.set_resolution(stage.size)
    settle_statistics(net, images())


class _Moments:
    """Mean and variance of each channel, over batches."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: Any = 0.0
        self._squares: Any = 0.0

    def add(self, maps: Tensor) -> None:
        """Take in `(n, channels, height, width)`."""
        variance, mean = (value.double() for value in torch.var_mean(maps, dim=(0, 2, 3), correction=0))
        count = maps.numel() // maps.shape[1]
        self._count += count
        self._sum += count * mean
        self._squares += count * (variance + mean**2)

    def result(self) -> tuple[Tensor, Tensor]:
        """`(channels,)` float32 each."""
        if not self._count:
            raise SourceError("expected faces to take batch-norm statistics from, found none; check the training split")
        mean = self._sum / self._count
        return mean.float(), (self._squares / self._count - mean**2).clamp(min=0).float()
