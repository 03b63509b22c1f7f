"""Deep-Emotion, a small attentional network.

Minaee et al., "Deep-Emotion: Facial Expression Recognition Using Attentional Convolutional Network", 2021.
The sizes of kernels are not in the paper: they follow from its figures and from a public re-implementation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from edge_fer.errors import ConfigError
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import NetworkInput, new_head
from edge_fer.lab.networks.spatial_transformer import SpatialTransformer

_INITIAL_STD = 0.05  # of all weights but those of theta
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_DROPPED = 0.5  # of the last map, in training


class DeepEmotion(SpatialTransformer):
    """Two convolutions say where to look; four read the region.

    Each ReLU stands before its pooling, which gives the same numbers as behind it: there the converter would make one
    operator of the two, which the Edge TPU does not have.
    """

    PURPOSE = "a tiny network that says where it looks, for the smallest boxes; it runs on the CPU"
    PUBLICATION = "Deep-Emotion (Minaee et al., 2021)"
    INPUT = NetworkInput(side=48, colour="grey", mean=(0.5,), std=(0.5,))
    TOP = ("fc1", "dropout", "head")
    CAM_LAYERS = ()

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__(width, resolution, colour)
        self.set_resolution(self.resolution)
        eight, ten, hidden, read = (max(1, round(published * width)) for published in (8, 10, 32, 50))
        self.where1, self.where2 = nn.Conv2d(1, eight, 7), nn.Conv2d(eight, ten, 5)
        self.where_fc1, self.where_fc2 = nn.Linear(8 * 8 * ten, hidden), nn.Linear(hidden, len(_IDENTITY))
        self.conv1, self.conv2 = nn.Conv2d(1, ten, 3), nn.Conv2d(ten, ten, 3)
        self.conv3, self.conv4 = nn.Conv2d(ten, ten, 3), nn.Conv2d(ten, ten, 3)
        self.bn = nn.BatchNorm2d(ten)
        self.map_dropout = nn.Dropout(_DROPPED)
        self.fc1 = nn.Linear(9 * 9 * ten, read)
        self.head = new_head(read)
        self._initialise()

    def theta(self, image: Tensor) -> Tensor:
        """See `SpatialTransformer.theta`."""
        maps = max_pool2d(torch.relu(self.where1(image)), 2)
        maps = max_pool2d(torch.relu(self.where2(maps)), 2)
        # Channels last before the flattening: without it the converter would transpose at run time.
        hidden = torch.relu(self.where_fc1(maps.permute(0, 2, 3, 1).flatten(1)))
        theta: Tensor = self.where_fc2(hidden)
        return theta

    def region_features(self, region: Tensor) -> Tensor:
        """The `(n, 50)` activations of the first dense layer."""
        maps = torch.relu(self.conv1(region))
        maps = max_pool2d(torch.relu(self.conv2(maps)), 2)
        maps = torch.relu(self.conv3(maps))
        maps = max_pool2d(torch.relu(self.bn(self.conv4(maps))), 2)
        return torch.relu(self.fc1(self.map_dropout(maps).permute(0, 2, 3, 1).flatten(1)))

    def set_resolution(self, side: int) -> None:
        """See `Network.set_resolution`; the dense layers fit one size only."""
        if side != self.INPUT.side:
            raise ConfigError(f"expected pictures of {self.INPUT.side} pixels a side for {self.name()}, found {side}")
        self.resolution = side

    def _initialise(self) -> None:
        """Weights from N(0, 0.05) and biases of 0; theta begins as the identity, which shows the whole picture."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim > 1:
                    parameter.normal_(0, _INITIAL_STD)
                elif not name.startswith("bn."):
                    parameter.zero_()
            self.where_fc2.weight.zero_()
            self.where_fc2.bias.copy_(torch.tensor(_IDENTITY))
