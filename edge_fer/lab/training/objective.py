"""The loss, the optimizer, and the learning rate by progress."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_fer.lab.training.multi_task import HEADS, is_inside
from edge_fer.lab.training.recipe import Optimizer, Stage
from edge_fer.types import LABELS


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over the faces that have a target, nats.

    Args:
        logits: `(n, 7)`.
        targets: `(n, 7)`, rows summing to 1, or 0 for a face that does not count.
        weights: `(7,)`, the weight of each label.
    """
    terms = -targets * torch.log_softmax(logits.float(), dim=1)
    if weights is not None:
        terms = terms * weights
    return terms.sum() / (targets.sum(dim=1) > 0).sum().clamp(min=1)


def inverse_frequency(labels: NDArray[np.int64], power: float = 1.0) -> NDArray[np.float64]:
    """`(7,)`: a weight for each label, 1 on the average face; 0 for a label without faces.

    Args:
        labels: `(n,)`, the faces' labels.
        power: 1 makes all labels weigh the same in all; less lets the frequent ones keep some of their lead.
    """
    counts = np.bincount(labels, minlength=len(LABELS))
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** -power, 0.0)
    return np.asarray(weights * len(labels) / (weights * counts).sum())


def towards(targets: Tensor, logits: Tensor, part: float) -> Tensor:
    """Targets `(n, 7)` of which a part is replaced by the softmax of a teacher's logits `(n, 7)`.

    Tarvainen and Valpola, "Mean teachers are better role models", 2017, as a mixture of targets.
    """
    return targets.lerp(torch.softmax(logits.float(), dim=1), part)


def make_optimizer(model: nn.Module, settings: Optimizer, lr: float) -> Any:
    """An optimizer of the parameters that are trained; weight decay is on matrices and kernels only.

    Args:
        model: the network; frozen parameters are left out.
        settings: the kind of optimizer, its decay and the rate of the heads.
        lr: learning rate.

    Returns:
        The optimizer. Each group has `rate`, the factor of its learning rate; see `set_learning_rate`.
    """
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = settings.head_rate if is_inside(name, HEADS) else 1.0
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            grouped.setdefault((rate, decay), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "rate": rate} for (rate, decay), parameters in grouped.items()
    ]
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=lr, betas=settings.betas)


def set_learning_rate(optimizer: Any, lr: float) -> None:
    """Set the learning rate of every group of `make_optimizer`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["rate"]


def learning_rate(stage: Stage, progress: float) -> float:
    """The learning rate at a part of the stage, 0..1.

    Cosine: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without restarts.
    """
    if progress < stage.warmup:
        return stage.lr * progress / stage.warmup
    if stage.schedule == "constant":
        return stage.lr
    rest = min(1.0, (progress - stage.warmup) / (1 - stage.warmup))
    return stage.lr_end + (stage.lr - stage.lr_end) * (1 + math.cos(math.pi * rest)) / 2
