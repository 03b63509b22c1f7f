"""The network while it is trained: with a second head on the same features, and parts that stand still."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from edge_fer.lab.networks.se_resnet50 import Bottleneck, SEResNet50
from edge_fer.lab.training.recipe import Start
from edge_fer.lab.weights.npz import save_se_resnet50
from edge_fer.lab.weights.provenance import Origin
from edge_fer.types import LABELS

_TOP = ("net.dense1000", "net.dropout", "net.head", "second")
"""What the stage of the top trains; everything else is the trunk."""


class TwoHeads(nn.Module):
    """A network and perhaps a second head, and what its first weights were, which goes along with them.

    The input is that of the network; the outputs are `(n, 7)` logits of the head, and of the second head
    or null.
    """

    def __init__(self, net: SEResNet50, second: nn.Linear | None, dropout: float, origin: Origin | None = None) -> None:
        super().__init__()
        self.net = net
        self.second = second
        self.origin = origin
        self.net.dropout.p = dropout

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Run the network."""
        features = self.net.dropout(self.net.features(image))
        return self.net.head(features), None if self.second is None else self.second(features)

    def save(self, path: Path) -> None:
        """Write the weights as `load_se_resnet50`, `load_second_head` and `load_origin` read them."""
        save_se_resnet50(path, self.net, self.second, self.origin)


def second_head(net: SEResNet50) -> nn.Linear:
    """A new second head for a network."""
    return nn.Linear(net.head.in_features, len(LABELS))


def begin(model: TwoHeads, start: Start, *, trained: bool) -> None:
    """Set the first weights as a recipe says.

    Args:
        model: the network.
        start: of the recipe.
        trained: whether weights were loaded, whose batch-norm scales are then kept.
    """
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, Bottleneck) and not trained:
                layer.expand.bn.weight.fill_(start.block_scale)
        if start.top == "standard_normal":
            for name, parameter in model.named_parameters():
                if name.startswith(_TOP):
                    parameter.normal_()


def set_training(model: TwoHeads, part: Literal["top", "all"]) -> None:
    """Let a part of the network learn; the rest stands still, with its batch-norm statistics."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part == "all" or name.startswith(_TOP))
    model.train()
    if part == "top":
        for name, layer in model.net.named_children():
            layer.train(f"net.{name}" in _TOP)


class Average:
    """An exponential moving average of weights and statistics.

    The first updates weigh more, so that the beginning is soon forgotten (as in TensorFlow's and timm's).
    """

    def __init__(self, model: TwoHeads, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    def update(self, model: TwoHeads, updates: int) -> None:
        """Take in the weights after so many updates of the optimizer."""
        decay = min(self._decay, (1 + updates) / (10 + updates))
        with torch.no_grad():
            for mean, value in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)
