"""Networks with two inputs: a picture, and hand-made features of the face. EmoNet (Kumari), figure 5.

The figure is a picture; layers and sizes are those of the public network B whose features EmoNet uses (horseman's
facial-expression-recognition-using-cnn): 2728 -> 1024 -> 128 with batch norms, the picture's features -> 128, both
joined.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from edge_fer.errors import ConfigError
from edge_fer.expression.face_features import FEATURES
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network, new_head

_DENSE, _JOINED = 1024, 128


class TwoInputs(Network):
    """A trunk that reads the picture, and dense layers that join its features with hand-made ones.

    `forward`, `features` and `after_pool` take the hand-made features beside the picture: `(n, 2728)` float32, see
    `edge_fer.expression.face_features`. They are standardised by `feature_mean` and `feature_std`, which a training
    measures first.

    Args:
        width: of the trunk, see `Network`.
        resolution: see `Network`.
        colour: see `Network`.

    Attributes:
        TRUNK: the network whose features are joined. Its head is left out.
    """

    TRUNK: ClassVar[type[Network]]
    TOP = ("picture", "branch", "dropout", "head")

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__(width, resolution, colour)
        self.trunk = self.TRUNK(width, resolution, colour)
        self.picture = nn.Linear(self.trunk.head.in_features, _JOINED)
        self.trunk.head = nn.Identity()
        self.branch = nn.Sequential(
            OrderedDict(
                dense1=nn.Linear(FEATURES, _DENSE),
                norm1=nn.BatchNorm1d(_DENSE),
                relu1=nn.ReLU(),
                dense2=nn.Linear(_DENSE, _JOINED),
                norm2=nn.BatchNorm1d(_JOINED),
                relu2=nn.ReLU(),
            )
        )
        self.head = new_head(2 * _JOINED)
        self.register_buffer("feature_mean", torch.zeros(FEATURES))
        self.register_buffer("feature_std", torch.ones(FEATURES))

    @property
    def side(self) -> int:
        """Side of the picture that the deployed network takes, pixels."""
        return self.trunk.side

    @property
    def pooled_size(self) -> int:
        """How many features `pooled` gives."""
        return self.trunk.pooled_size

    def set_resolution(self, side: int) -> None:
        """See `Network.set_resolution`."""
        self.trunk.set_resolution(side)
        super().set_resolution(side)

    def first_cell(self, layer: str) -> float:
        """See `Network.first_cell`."""
        return self.trunk.first_cell(layer.removeprefix("trunk."))

    @property
    def has_statistics(self) -> bool:
        """Whether it is known by what hand-made features are standardised."""
        return bool(self.feature_mean.any())

    def cell_stride(self, layer: str, cells: int) -> int:
        """See `Network.cell_stride`."""
        return self.trunk.cell_stride(layer.removeprefix("trunk."), cells)

    def set_statistics(self, mean: NDArray[np.float32], std: NDArray[np.float32]) -> None:
        """Set by what hand-made features are standardised, `(2728,)` each."""
        self.feature_mean.copy_(torch.from_numpy(mean))
        self.feature_std.copy_(torch.from_numpy(std))

    def forward(self, image: Tensor, hand_made: Tensor | None = None) -> Tensor:
        """Run the network."""
        return self.head(self.dropout(self.features(image, hand_made)))

    def features(self, image: Tensor, hand_made: Tensor | None = None) -> Tensor:
        """The `(n, 256)` activations that the head reads."""
        return self.after_pool(self.pooled(image), hand_made)

    def pooled(self, image: Tensor) -> Tensor:
        """See `Network.pooled`: of the trunk."""
        return self.trunk.pooled(image)

    def after_pool(self, pooled: Tensor, hand_made: Tensor | None = None) -> Tensor:
        """The `(n, 256)` activations that the head reads.

        Args:
            pooled: see `pooled`.
            hand_made: `(n, 2728)` float32.

        Raises:
            ConfigError: when there are no hand-made features.
        """
        if hand_made is None:
            raise ConfigError(
                f"expected hand-made features beside the pictures for {self.name()}, found none; where --landmarks can "
                "be given, give what `edge-fer lab landmarks` wrote, and else use a network of pictures alone"
            )
        picture = torch.relu(self.picture(self.trunk.after_pool(pooled)))
        second = self.branch((hand_made - self.feature_mean) / self.feature_std)
        return torch.cat([picture, second], dim=1)

    def scale_blocks(self, scale: float) -> None:
        """See `Network.scale_blocks`: of the trunk."""
        self.trunk.scale_blocks(scale)

    def folded(self) -> dict[str, NDArray[np.float32]]:
        """The dense layers as `edge_fer.expression.feature_branch` reads them: nothing else is left of the branch."""
        mean, std = self.feature_mean.double(), self.feature_std.double()
        layers = {"picture": (self.picture.weight, self.picture.bias), "head": (self.head.weight, self.head.bias)}
        for number in (1, 2):
            dense, norm = (self.branch.get_submodule(f"{name}{number}") for name in ("dense", "norm"))
            weight, bias = dense.weight.double(), dense.bias.double()
            if number == 1:
                weight = weight / std
                bias = bias - weight @ mean
            scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
            shift = (bias - norm.running_mean.double()) * scale + norm.bias.double()
            layers[f"dense{number}"] = (weight * scale[:, None], shift)
        return {
            f"{name}.{part}": value.detach().cpu().numpy().astype(np.float32)
            for name, values in layers.items()
            for part, value in zip(("weight", "bias"), values, strict=True)
        }

    @classmethod
    def over(cls, trunk: Network) -> Self:
        """The network with a trunk that was trained alone, without its head, and new dense layers."""
        net = cls(trunk.width, trunk.resolution, trunk.colour)
        trunk.head = nn.Identity()
        net.trunk = trunk
        return net.eval()

    @classmethod
    def load_foreign(cls, path: Path) -> Self:
        """The network with a trunk from a file that the trunk's network can read, and new dense layers.

        Raises:
            ModelError: when the file cannot be read or holds other weights.
        """
        return cls.over(cls.TRUNK.load_foreign(path))
