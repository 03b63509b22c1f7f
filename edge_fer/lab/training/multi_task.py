"""A network in training: with a second head on the same features, and with parts that are frozen."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from edge_fer.lab.networks.base import Network
from edge_fer.lab.networks.two_inputs import TwoInputs
from edge_fer.lab.training.recipe import Stage, Start
from edge_fer.lab.weights.npz import Weights, save_weights
from edge_fer.lab.weights.provenance import Origin

_N = TypeVar("_N", bound=nn.Module)

HEADS = ("net.head", "second", "maps")
"""Names of the heads among the model's parameters."""


class Outputs(NamedTuple):
    """What a model says of some pictures.

    Attributes:
        logits: `(n, 7)`, of the network's own head.
        second: `(n, 7)`, of the second head; None: there is none.
        pooled: `(n, d)`, the network's pooled features.
    """

    logits: Tensor
    second: Tensor | None
    pooled: Tensor


class MultiTaskModel(nn.Module):
    """A network with one or two heads: the second learns another annotator's labels from the same features.

    The input is that of the network.

    Args:
        net: the network.
        second: the second head; None for a network with one head.
        dropout: share of the features that training drops before the heads, 0..1.
        origin: what the first weights are; it is written with the weights.
        feature_sizes: how many features teachers of each name have, to which those of the network are mapped.

    Attributes:
        maps: by name of the teachers, the linear map from pooled features to theirs; not written with the weights.
    """

    def __init__(
        self,
        net: Network,
        second: nn.Linear | None,
        dropout: float,
        origin: Origin | None = None,
        feature_sizes: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.second = second
        self.origin = origin
        self.maps = nn.ModuleDict(
            {name: nn.Linear(net.pooled_size, size) for name, size in (feature_sizes or {}).items()}
        )
        self.net.dropout.p = dropout

    def forward(self, image: Tensor, hand_made: Tensor | None = None) -> Outputs:
        """Run the network.

        Args:
            image: as the network takes it.
            hand_made: `(n, 2728)` float32, for a network with two inputs.
        """
        pooled = self.net.pooled(image)
        if isinstance(self.net, TwoInputs):
            features = self.net.dropout(self.net.after_pool(pooled, hand_made))
        else:
            features = self.net.dropout(self.net.after_pool(pooled))
        return Outputs(self.net.head(features), None if self.second is None else self.second(features), pooled)

    def save(self, path: Path) -> None:
        """Write the weights as `load_weights` reads them."""
        save_weights(path, Weights(self.net, self.second, self.origin))

    def is_top(self, name: str) -> bool:
        """Whether a parameter or layer of that name is trained in the stage `top`."""
        return is_inside(name, ("second", "maps", *(f"net.{layer}" for layer in self.net.TOP)))


def is_inside(name: str, layers: tuple[str, ...]) -> bool:
    """Whether a parameter or layer of that name is one of some layers, or inside one of them."""
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)


def initialise(model: MultiTaskModel, start: Start, *, trained: bool) -> None:
    """Set the first weights as a recipe says.

    Args:
        model: the network.
        start: the part of the recipe that says how to begin.
        trained: whether weights were loaded, whose batch-norm scales are then kept.

    Raises:
        ConfigError: when the recipe scales blocks that the network does not have.
    """
    if not trained:
        model.net.scale_blocks(start.block_scale)
    if start.top == "standard_normal":
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if model.is_top(name):
                    parameter.normal_()


def set_training(model: MultiTaskModel, stage: Stage) -> None:
    """Let the part of the network learn that a stage trains; the rest is frozen, with its batch-norm statistics.

    A second head, or a map to teachers' features, that the stage's loss does not read is frozen, too.
    """
    teacher = stage.teacher.name if stage.teacher and stage.teacher.features else None
    idle = (*(() if stage.loss.second else ("second",)), *(f"maps.{name}" for name in model.maps if name != teacher))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_((stage.train == "all" or model.is_top(name)) and not is_inside(name, idle))
    model.train()
    if stage.train == "top":
        for name, layer in model.net.named_children():
            layer.train(model.is_top(f"net.{name}"))


class WeightEma(Generic[_N]):
    """An exponential moving average of weights and statistics.

    The first updates weigh more, so that the first weights soon lose their influence (as in TensorFlow's and timm's).

    Args:
        model: the network whose weights are averaged.
        decay: the part of the average that an update keeps, 0..1.

    Attributes:
        model: a copy of the network with the averaged weights, which only evaluates.
    """

    def __init__(self, model: _N, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    def update(self, model: _N, updates: int) -> None:
        """Take in the weights after so many updates of the optimizer."""
        decay = min(self._decay, (1 + updates) / (10 + updates))
        with torch.no_grad():
            for mean, value in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)
