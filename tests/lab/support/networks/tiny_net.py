"""A network of one convolution and one dense layer, which trains in a second."""

from __future__ import annotations

from torch import Tensor, nn, relu

from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network, NetworkInput, new_head


class TinyNet(Network):
    """A strided convolution with its batch norm, averaged to 4x4 places, and a dense layer."""

    PURPOSE = "tests"
    PUBLICATION = "A small network of the tests"
    INPUT = NetworkInput(side=36, colour="grey", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    TOP = ("dense", "dropout", "head")
    CAM_LAYERS = ("stem",)

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__(width, resolution, colour)
        channels = round(8 * width)
        self.stem = nn.Sequential()
        self.stem.add_module("conv", nn.Conv2d(3, channels, 5, 4, bias=False))
        self.stem.add_module("bn", nn.BatchNorm2d(channels))
        self.dense = nn.Linear(16 * channels, 12)
        self.head = new_head(12)

    def features(self, image: Tensor) -> Tensor:
        """The `(n, 12)` activations of the dense layer."""
        maps = nn.functional.adaptive_avg_pool2d(relu(self.stem(image)), 4)
        # Channels last before the flattening: without it the converter would transpose at run time.
        return relu(self.dense(maps.permute(0, 2, 3, 1).flatten(1)))
