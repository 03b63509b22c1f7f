"""The two attentions of a Frame Attention Network, on features of any width, and networks that have them on top.

Meng et al., "Frame Attention Networks for Facial Expression Recognition in Videos", 2019. The authors' code weighs
frames by one formula in training and by another in evaluation; here there is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from typing_extensions import Self

from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network, new_head
from edge_fer.lab.networks.resnet18 import ResNet18

_DROPPED = 0.5  # of the features that a weight is made of, in training


class FrameAttention(nn.Module):
    """One vector of the features of many frames.

    Args:
        width: features of a frame, d.
        relation: whether frames are weighed by how they relate to all of them, too; else by themselves alone.

    Attributes:
        outputs: how many values it makes: 2d, the frames' part and their mean's part, or d without relation.
    """

    def __init__(self, width: int, *, relation: bool) -> None:
        super().__init__()
        self.outputs = 2 * width if relation else width
        self.dropout = nn.Dropout(_DROPPED)
        self.own = nn.Linear(width, 1)
        self.relation = nn.Linear(2 * width, 1) if relation else None

    @property
    def denses(self) -> tuple[nn.Linear, ...]:
        """The layers that make weights."""
        return (self.own,) if self.relation is None else (self.own, self.relation)

    def forward(self, frames: Tensor) -> Tensor:
        """The `(n, outputs)` values of tracks.

        Args:
            frames: `(n, k, d)`.
        """
        return self.attend(frames)[0]

    def attend(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """See `forward`; and the weights of the frames, `(n, k)`, each row summing to 1."""
        vector, gates = self.gated(frames)
        return vector, torch.softmax(gates, dim=1)

    def gated(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """See `forward`; and the logarithm of each frame's gate, `(n, k)`: the product of the published sigmoids.

        Weights are gates divided by their sum, here a softmax of their logarithms: they may all be nearly 0.
        """
        gates = logsigmoid(self.own(self.dropout(frames)))
        mean = (torch.softmax(gates, dim=1) * frames).sum(dim=1)
        if self.relation is None:
            return mean, gates.squeeze(2)
        pairs = torch.cat([frames, mean.unsqueeze(1).expand_as(frames)], dim=2)
        gates = gates + logsigmoid(self.relation(self.dropout(pairs)))
        return (torch.softmax(gates, dim=1) * pairs).sum(dim=1), gates.squeeze(2)

    def arrays(self, head: nn.Linear, temperature: float) -> dict[str, NDArray[np.float32]]:
        """What `edge_fer.expression.attention` reads, float32.

        Args:
            head: from `outputs` to logits.
            temperature: what logits are divided by.
        """
        assert self.relation is not None  # the runtime has no other
        found = {"temperature": torch.tensor(temperature)}
        for name, layer in (("self", self.own), ("relation", self.relation)):
            found |= {f"{name}.weight": layer.weight.squeeze(0), f"{name}.bias": layer.bias.squeeze(0)}
        found |= {"head.weight": head.weight, "head.bias": head.bias}
        return {name: value.detach().cpu().numpy().astype(np.float32) for name, value in found.items()}


class FrameAttentionNetwork(Network):
    """ResNet-18 on each frame of a track, attention over the frames, and a head. One picture is a track of one frame.

    The input may also be tracks, `(n, k, 3, side, side)`.

    Args:
        width: of the embedding, see `Network`.
        resolution: see `Network`.
        colour: see `Network`.

    Attributes:
        RELATION: see `FrameAttention`.
    """

    RELATION: ClassVar[bool]
    TRUNK: ClassVar[type[Network]] = ResNet18
    INPUT = ResNet18.INPUT
    TOP = ("attention", "dropout", "head")
    CAM_LAYERS = tuple(f"embedding.{layer}" for layer in ResNet18.CAM_LAYERS)

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__(width, resolution, colour)
        self.embedding = self.TRUNK(width, resolution, colour)
        self.attention = FrameAttention(self.embedding.head.in_features, relation=self.RELATION)
        self.embedding.head = nn.Identity()
        self.head = new_head(self.attention.outputs)

    @property
    def pooled_size(self) -> int:
        """How many features a frame has."""
        return int(self.attention.own.in_features)

    def features(self, image: Tensor) -> Tensor:
        """The `(n, 1024 * width)` values of pictures or tracks; half as many without relation."""
        return self.after_pool(self.pooled(image))

    def pooled(self, image: Tensor) -> Tensor:
        """The `(n, 512 * width)` features of pictures, or those of each frame of tracks, `(n, k, 512 * width)`."""
        if image.ndim == 4:
            return self.embedding.features(image)
        return self.embedding.features(image.flatten(0, 1)).unflatten(0, image.shape[:2])

    def after_pool(self, pooled: Tensor) -> Tensor:
        """The activations that the head reads, from `pooled`."""
        return self.attention(pooled if pooled.ndim == 3 else pooled.unsqueeze(1))

    def scale_blocks(self, scale: float) -> None:
        """Set the last batch-norm scale of each block."""
        self.embedding.scale_blocks(scale)

    def single_head(self) -> nn.Linear:
        """From the features of one frame to the logits of a track of that frame alone."""
        head = new_head(self.pooled_size)
        with torch.no_grad():
            head.weight.copy_(self.head.weight.unflatten(1, (-1, self.pooled_size)).sum(dim=1))
            head.bias.copy_(self.head.bias)
        return head

    @classmethod
    def load_foreign(cls, path: Path) -> Self:
        """The network with an embedding from a file that ResNet-18 can read, and a new top.

        Raises:
            ModelError: when the file cannot be read or holds other weights.
        """
        return cls.over(cls.TRUNK.load_foreign(path))

    @classmethod
    def over(cls, trunk: Network) -> Self:
        """The network with an embedding that was trained alone, without its head, and a new top."""
        net = cls(trunk.width, trunk.resolution, trunk.colour)
        trunk.head = nn.Identity()
        net.embedding = trunk
        return net.eval()
