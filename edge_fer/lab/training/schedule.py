"""The learning rate of a stage by its progress and by the validation, and when the stage ends early."""

from __future__ import annotations

import math

from edge_fer.lab.training.recipe import Schedule, Stage
from edge_fer.lab.training.state import TrainingState


def learning_rate(stage: Schedule, progress: float, reduction: float = 1.0) -> float:
    """The learning rate at a part of the stage.

    Cosine: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without restarts.

    Args:
        stage: the stage.
        progress: how much of it is done, 0..1.
        reduction: what `plateau` has multiplied the rate by so far; see `note_epoch`.
    """
    if progress < stage.warmup:
        return stage.lr * progress / stage.warmup
    if stage.schedule == "constant":
        return stage.lr
    if stage.schedule == "step":
        return stage.lr * stage.factor ** sum(progress >= milestone for milestone in stage.milestones)
    if stage.schedule == "plateau":
        return max(stage.lr * reduction, stage.lr_end)
    rest = min(1.0, (progress - stage.warmup) / (1 - stage.warmup))
    return stage.lr_end + (stage.lr - stage.lr_end) * (1 + math.cos(math.pi * rest)) / 2


def note_epoch(stage: Stage, at: TrainingState, loss: float, accuracy: float) -> bool:
    """Take in what an epoch's validation has shown.

    Args:
        stage: the stage.
        at: how far the run is, which is changed.
        loss: validation loss, nats.
        accuracy: validation accuracy, 0..1.

    Returns:
        Whether the epoch is the best of the stage so far.
    """
    at.plateau = 0 if loss < at.lowest_loss else at.plateau + 1
    at.lowest_loss = min(at.lowest_loss, loss)
    if stage.schedule == "plateau" and at.plateau >= stage.plateau_epochs:
        at.reduction, at.plateau = at.reduction * stage.factor, 0
    worth = accuracy if stage.best_by == "accuracy" else -loss
    is_best = worth > at.best
    at.best, at.stale = (worth, 0) if is_best else (at.best, at.stale + 1)
    return is_best


def is_over(stage: Stage, at: TrainingState) -> bool:
    """Whether a stage ends early, since nothing gets better."""
    return stage.patience is not None and at.stale >= stage.patience


def best_in_words(stage: Stage, at: TrainingState) -> str:
    """The best epoch so far, for a line of the log."""
    return f"{at.best:.2%}" if stage.best_by == "accuracy" else f"loss {-at.best:.4f}"
