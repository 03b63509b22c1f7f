"""Batch norm and dropout over the batch of all processes, so that each part of it is read as in the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

Total = Callable[[Tensor], Tensor]
"""Gives the sum of a tensor over the processes."""


class GlobalBatchNorm(_BatchNorm):
    """A batch norm whose statistics are those of the batches of all processes together.

    torch.nn.SyncBatchNorm is the same for GPUs alone.

    Args:
        norm: the batch norm, of any number of dimensions, whose parameters and statistics these become.
        total: see `Total`.
    """

    def __init__(self, norm: _BatchNorm, total: Total) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.train(norm.training)
        self._total = total

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise `(n, channels, ...)`, the part of the batch that this process has."""
        if not self.training:
            return super().forward(maps)
        with torch.no_grad():
            mean, variance, count = _moments(maps, self._total)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        result: Tensor = _Normalise.apply(maps, self.weight, self.bias, mean, variance, self.eps, count, self._total)
        return result

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  torch's name
        """Any number of dimensions will do."""


class GlobalDropout(nn.Dropout):
    """A dropout that drops of a part of the batch what `nn.Dropout` would drop of it in the whole batch.

    Args:
        dropout: the dropout whose place this takes.

    Attributes:
        places: `(n,)`, which of the faces of the whole batch the input is.
        count: how many faces the whole batch has.
    """

    def __init__(self, dropout: nn.Dropout) -> None:
        super().__init__(dropout.p)
        self.train(dropout.training)
        self.places: NDArray[np.int64] = np.arange(0)
        self.count = 0

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        """Drop values of `(n, ...)`."""
        if not self.training or not self.p:
            return input
        layout = torch.channels_last if _is_channels_last(input) else torch.contiguous_format
        whole = torch.ones((self.count, *input.shape[1:]), dtype=input.dtype, device=input.device)
        kept = functional.dropout(whole.contiguous(memory_format=layout), self.p)
        return input * kept[torch.from_numpy(self.places).to(input.device)]


class _Normalise(torch.autograd.Function):
    """What a batch norm computes from given statistics, and the gradient through these.

    Ioffe and Szegedy, "Batch Normalization", 2015, with the sums of the gradient taken over all processes.
    """

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor,
        eps: float, count: float, total: Total,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(maps, weight, mean, variance)
        ctx.eps, ctx.count, ctx.total = eps, count, total
        return functional.batch_norm(maps, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        maps, weight, mean, variance = ctx.saved_tensors
        gradient = gradient.float()
        deviation = torch.sqrt(variance + ctx.eps)
        shape = (1, -1) + (1,) * (maps.ndim - 2)
        rest = tuple(axis for axis in range(maps.ndim) if axis != 1)
        standard = (maps - mean.reshape(shape)) / deviation.reshape(shape)
        of_weight, of_bias = (gradient * standard).sum(rest), gradient.sum(rest)
        means = ctx.total(torch.stack([of_weight, of_bias])) / ctx.count
        slope, offset = means.reshape(2, *shape)
        of_maps = (gradient - standard * slope - offset) * (weight / deviation).reshape(shape)
        return of_maps.to(maps.dtype), of_weight, of_bias, None, None, None, None, None


def over_all_processes(model: nn.Module, total: Total) -> None:
    """Give the batch norms and dropouts of a network the batch of all processes; see `set_places`.

    Args:
        model: the network, which is changed.
        total: see `Total`.
    """
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(parent, name, GlobalBatchNorm(layer, total))
            elif isinstance(layer, nn.Dropout):
                setattr(parent, name, GlobalDropout(layer))


def set_places(model: nn.Module, places: NDArray[np.int64], count: int) -> None:
    """Tell the dropouts of a network which faces of the batch it will be given; see `GlobalDropout`."""
    for layer in model.modules():
        if isinstance(layer, GlobalDropout):
            layer.places, layer.count = places, count


def _moments(maps: Tensor, total: Total) -> tuple[Tensor, Tensor, float]:
    """Mean and variance of each channel, `(channels,)` float32 each, and how many values of a channel there are."""
    rest = tuple(axis for axis in range(maps.ndim) if axis != 1)
    variance, mean = (value.double() for value in torch.var_mean(maps.float(), dim=rest, correction=0))
    count = maps.numel() // maps.shape[1]
    sums = total(torch.cat([mean * count, (variance + mean**2) * count, mean.new_tensor([count])]))
    mean, square = (sums[:-1] / sums[-1]).chunk(2)
    return mean.float(), (square - mean**2).clamp(min=0).float(), float(sums[-1])


def _is_channels_last(maps: Tensor) -> bool:
    return maps.ndim == 4 and not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last)
