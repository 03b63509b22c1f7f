"""The attention of a classifier that stands: trained on the features that it gave, in seconds to minutes.

The training is the published one (Meng et al., 2019): some frames of each track, one of each equal part. Two things
are added. The head begins as the classifier's own, and learns more slowly than the attention: with a head that reads
well from the start, a frame that misleads it costs something. And where tracks are synthetic, it is known which frames
are spoiled, of which a share is drawn for each track: that their gates are closed is a part of the loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_fer.errors import ModelError
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.datasets.clips import draw_frames
from edge_fer.lab.datasets.degradations import Random
from edge_fer.lab.datasets.faults import spoiled_frames
from edge_fer.lab.datasets.tracks import SHARES
from edge_fer.lab.evaluation.track_answers import TrackAnswers
from edge_fer.lab.networks.base import new_head
from edge_fer.lab.networks.frame_attention import FrameAttention
from edge_fer.lab.training.objective import cross_entropy, make_optimizer, set_learning_rate
from edge_fer.lab.training.recipe import Optimizer, Stage
from edge_fer.lab.training.schedule import learning_rate

_LEAST_STD = 1e-3  # of a feature, as a part of the mean deviation: one that hardly varies says nothing
_MEASURED = 20_000  # frames that mean and deviation are measured on
_AT_A_TIME = 256  # tracks


Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight and bias of a dense layer."""

STAGE = Stage(
    name="attention",
    frames=3,
    batch=48,
    epochs=20,
    lr=0.01,
    schedule="step",
    milestones=(0.5,),
    factor=0.2,
    optimizer=Optimizer(kind="sgd", momentum=0.9, weight_decay=1e-4, head_rate=0.01),
)
"""As published, but for the rate of the head, and fewer epochs, after which it learns its tracks by heart."""


@dataclass(frozen=True, slots=True)
class TopPlan:
    """How an attention is trained.

    Attributes:
        stage: frames, batch, epochs, learning rates and optimizer.
        dropout: share of what the head reads that is dropped, 0..1.
        guidance: weight of the loss by the gates of spoiled frames; 0: only the labels teach, as they do with films.
        seed: seed of all that is drawn.
    """

    stage: Stage = STAGE
    dropout: float = 0.6
    guidance: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AttentionTop:
    """What stands on a classifier's features.

    Attributes:
        attention: over frames.
        head: from what it makes to logits.
    """

    attention: FrameAttention
    head: nn.Linear

    def read(self, tracks: TrackAnswers, spoiled: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The logits `(n, 7)` of tracks by all of their frames, and the weights of these, `(n, frames)`.

        Args:
            tracks: the tracks.
            spoiled: `(n, frames)`, which frames are spoiled.
        """
        logits, weights = [], []
        self.attention.eval()
        with torch.inference_mode():
            for first in range(0, len(tracks), _AT_A_TIME):
                rows = np.arange(first, min(first + _AT_A_TIME, len(tracks)))[:, None]
                frames = torch.from_numpy(
                    tracks.real((rows, spoiled[rows[:, 0]].astype(int), np.arange(tracks.frames)))
                )
                vector, weight = self.attention.attend(frames)
                logits.append(self.head(vector).double().numpy())
                weights.append(weight.double().numpy())
        return np.concatenate(logits), np.concatenate(weights)

    def arrays(self, temperature: float) -> dict[str, NDArray[np.float32]]:
        """See `FrameAttention.arrays`."""
        return self.attention.arrays(self.head, temperature)


class _Model(nn.Module):
    """Attention, dropout and head in training."""

    def __init__(self, width: int, dropout: float, *, relation: bool) -> None:
        super().__init__()
        self.attention = FrameAttention(width, relation=relation)
        self.dropout = nn.Dropout(dropout)
        self.head = new_head(self.attention.outputs)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        vector, gates = self.attention.gated(frames)
        return self.head(self.dropout(vector)), gates

    def begin_as(self, layer: Layer, mean: Tensor, std: Tensor) -> None:
        """Read the mean of equal frames as a dense layer reads one: the attention gives each the same weight.

        Args:
            layer: weight `(7, d)` and bias `(7,)`, for features before they are standardised.
            mean: of each feature.
            std: of each feature.
        """
        weight, bias = (torch.from_numpy(part) for part in layer)
        times = self.attention.outputs // len(mean)
        with torch.no_grad():
            self.head.weight.copy_((weight * std / times).repeat(1, times))
            self.head.bias.copy_(bias + weight @ mean)
            for dense in self.attention.denses:
                dense.weight.zero_()
                dense.bias.zero_()


def train_top(
    tracks: TrackAnswers, layer: Layer, plan: TopPlan, *, relation: bool = True, progress: Progress = silent
) -> AttentionTop:
    """Train the attention and its head.

    Args:
        tracks: training tracks.
        layer: weight `(7, d)` and bias `(7,)` of the classifier's last layer, real.
        plan: how.
        relation: see `FrameAttention`.
        progress: called after each epoch.

    Raises:
        ModelError: when the loss is no longer a number.
    """
    stage, seed = plan.stage, plan.seed
    torch.manual_seed(seed)
    mean, std = _statistics(tracks, np.random.default_rng([seed, 0]))
    model = _Model(len(mean), plan.dropout, relation=relation).train()
    model.begin_as(layer, mean, std)
    optimizer = make_optimizer(model, stage.optimizer, stage.lr, heads=("head",))
    steps = max(1, len(tracks) // stage.batch)
    for epoch in range(stage.epochs):
        rng = np.random.default_rng([seed, 1, epoch])
        for step, chosen in enumerate(_batches(len(tracks), min(stage.batch, len(tracks)), rng)):
            set_learning_rate(optimizer, learning_rate(stage, (epoch + step / steps) / stage.epochs))
            frames, spoiled = _drawn(tracks, chosen, stage.frames, rng)
            logits, gates = model((frames - mean) / std)
            loss = cross_entropy(logits, torch.from_numpy(tracks.targets[chosen]))
            loss = loss + (plan.guidance * _misjudged(gates, spoiled) if tracks.faults else 0)
            _update(optimizer, loss)
        progress(epoch + 1, stage.epochs)
    _fold(model, mean, std)
    return AttentionTop(model.attention.eval(), model.head)


def _update(optimizer: Any, loss: Tensor) -> None:
    """Make one step down the gradient of a loss."""
    if not torch.isfinite(loss):
        raise ModelError(f"expected a finite loss, found {loss.item()}; lower --lr")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _batches(count: int, size: int, rng: Random) -> Iterator[NDArray[np.int64]]:
    order = rng.permutation(count)
    for first in range(0, count - size + 1, size):
        yield order[first : first + size]


def _misjudged(gates: Tensor, spoiled: Tensor) -> Tensor:
    """How far gates are from 0 in spoiled frames and from 1 in the others: binary cross-entropy, nats.

    Gates that reach 1 make good frames equal; were good frames only better than spoiled ones, the best of them would
    have most of the weight, and so would another person's face that is a better picture.

    Args:
        gates: `(n, k)`, logarithms of the gates.
        spoiled: `(n, k)` bool.
    """
    closed = torch.log(-torch.expm1(gates.clamp(max=-1e-6)))
    return -torch.where(spoiled, closed, gates).mean()


def _drawn(tracks: TrackAnswers, chosen: NDArray[np.int64], parts: int, rng: Random) -> tuple[Tensor, Tensor]:
    """A frame of each part of some tracks, of each track a share that is drawn spoiled.

    Returns:
        Real features `(n, parts, d)`, and which of the frames are spoiled, `(n, parts)` bool.
    """
    places = np.stack([draw_frames(tracks.frames, parts, rng) for _ in chosen])
    spoiled = np.zeros_like(places)
    if tracks.faults:
        for row, (track, frames) in enumerate(zip(chosen.tolist(), places, strict=True)):
            spoiled[row] = spoiled_frames(tracks.faults[track], float(rng.choice(SHARES)), rng)[frames]
    return torch.from_numpy(tracks.real((chosen[:, None], spoiled, places))), torch.from_numpy(spoiled > 0)


def _statistics(tracks: TrackAnswers, rng: Random) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature, `(d,)` each, over frames that are drawn."""
    shape = tracks.features.shape[:3]
    drawn = np.unravel_index(rng.permutation(math.prod(shape))[:_MEASURED], shape)
    features = torch.from_numpy(tracks.real(drawn))
    std = features.std(dim=0)
    return features.mean(dim=0), std.clamp(min=float(std.mean()) * _LEAST_STD + 1e-12)


def _fold(model: _Model, mean: Tensor, std: Tensor) -> None:
    """Put the standardisation of the features into the layers that read them: weights sum to 1, so that it passes."""
    with torch.no_grad():
        for layer in (model.head, *model.attention.denses):
            times = layer.in_features // len(mean)
            layer.weight /= std.repeat(times)
            layer.bias -= layer.weight @ mean.repeat(times)
