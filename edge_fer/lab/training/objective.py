"""The loss and the optimizer."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_fer.errors import ConfigError
from edge_fer.lab.training.global_layers import Total
from edge_fer.lab.training.multi_task import HEADS, is_inside
from edge_fer.lab.training.recipe import Loss, Optimizer
from edge_fer.types import LABELS


def alone(values: Tensor) -> Tensor:
    """The sum over the processes of a training that has one."""
    return values


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None, total: Total = alone) -> Tensor:
    """Mean over the faces that have a target, nats; the part of it that the faces of this process make up.

    Args:
        logits: `(n, 7)`.
        targets: `(n, 7)`, rows summing to 1, or 0 for a face that does not count.
        weights: `(7,)`, the weight of each label.
        total: gives the sum over the processes.
    """
    terms = -targets * torch.log_softmax(logits.float(), dim=1)
    if weights is not None:
        terms = terms * weights
    return terms.sum() / total((targets.sum(dim=1) > 0).sum()).clamp(min=1)


def feature_distance(features: Tensor, wanted: Tensor, total: Total = alone) -> Tensor:
    """Mean of the squared differences; the part of it that the faces of this process make up.

    Args:
        features: `(n, d)`.
        wanted: `(n, d)`.
        total: gives the sum over the processes.
    """
    squares = (features.float() - wanted.float()) ** 2
    return squares.mean(dim=1).sum() / total(torch.tensor(len(squares), device=squares.device))


def label_weights(labels: NDArray[np.int64], loss: Loss) -> NDArray[np.float64]:
    """`(7,)`: a weight for each label as a recipe's loss says, 1 on the average face; 0 for a label without faces.

    Args:
        labels: `(n,)`, the faces' labels.
        loss: the loss.
    """
    return effective_number(labels, loss.balanced) if loss.balanced else inverse_frequency(labels, loss.class_weights)


def inverse_frequency(labels: NDArray[np.int64], power: float = 1.0) -> NDArray[np.float64]:
    """`(7,)`: a weight for each label, 1 on the average face; 0 for a label without faces.

    Args:
        labels: `(n,)`, the faces' labels.
        power: 1 makes all labels weigh the same in all; less lets the frequent ones keep some of their lead.
    """
    counts = np.bincount(labels, minlength=len(LABELS))
    return _on_average_one(np.maximum(counts, 1.0) ** -power, counts)


def effective_number(labels: NDArray[np.int64], beta: float) -> NDArray[np.float64]:
    """`(7,)`: a weight for each label, 1 on the average face: the inverse of how many faces its faces are worth.

    The more faces a label has, the less does one more of them say. Cui et al., "Class-Balanced Loss Based on Effective
    Number of Samples", 2019.

    Args:
        labels: `(n,)`, the faces' labels.
        beta: 0..1, below 1; the nearer to 1, the nearer to the inverse frequency.
    """
    counts = np.bincount(labels, minlength=len(LABELS))
    return _on_average_one((1 - beta) / (1 - beta ** np.maximum(counts, 1.0)), counts)


def _on_average_one(weights: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    weights = np.where(counts > 0, weights, 0.0)
    return np.asarray(weights * counts.sum() / (weights * counts).sum())


def towards(targets: Tensor, logits: Tensor, part: float) -> Tensor:
    """Targets `(n, 7)` of which a part is replaced by the softmax of a teacher's logits `(n, 7)`.

    Tarvainen and Valpola, "Mean teachers are better role models", 2017, as a mixture of targets.
    """
    return targets.lerp(torch.softmax(logits.float(), dim=1), part)


def make_optimizer(model: nn.Module, settings: Optimizer, lr: float, heads: tuple[str, ...] = HEADS) -> Any:
    """An optimizer of the parameters that are trained; weight decay is on matrices and kernels only, see `Optimizer`.

    Args:
        model: the network; frozen parameters are left out.
        settings: the kind of optimizer, its decay and the rate of the heads.
        lr: learning rate.
        heads: names of the layers that learn at the rate of the heads.

    Returns:
        The optimizer. Each group has `rate`, the factor of its learning rate; see `set_learning_rate`.

    Raises:
        ConfigError: when a layer that should decay is none of the network's.
    """
    decaying = _decay_layers(model, settings)
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = settings.head_rate if is_inside(name, heads) else 1.0
            decay = settings.weight_decay if parameter.ndim > 1 and is_inside(name, decaying) else 0.0
            grouped.setdefault((rate, decay), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "rate": rate} for (rate, decay), parameters in grouped.items()
    ]
    if settings.kind == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=settings.momentum, nesterov=settings.nesterov)
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=lr, betas=settings.betas)


def _decay_layers(model: nn.Module, settings: Optimizer) -> tuple[str, ...]:
    """Names of the layers that decay, as `is_inside` takes them."""
    if settings.decay_layers is None:
        return tuple(name for name, _ in model.named_children())
    known = ["second", *(name.removeprefix("net.") for name, _ in model.named_modules() if name.startswith("net."))]
    for layer in settings.decay_layers:
        if layer not in known:
            close = difflib.get_close_matches(layer, known, n=1)
            hint = f", did you mean `{close[0]}`?" if close else ""
            raise ConfigError(f"expected layers of the network in optimizer.decay_layers, found `{layer}`{hint}")
    return tuple(layer if layer == "second" else f"net.{layer}" for layer in settings.decay_layers)


def set_learning_rate(optimizer: Any, lr: float) -> None:
    """Set the learning rate of every group of `make_optimizer`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["rate"]
