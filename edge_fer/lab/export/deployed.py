"""A network as it is deployed: its input as the manifest states it, and what its file gives."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.networks.base import Network
from edge_fer.lab.networks.spatial_transformer import SpatialTransformer
from edge_fer.lab.networks.two_inputs import TwoInputs


def input_spec(net: Network) -> InputSpec:
    """A network's input as the manifest states it: one mean and deviation where all channels have the same."""
    expected = net.input
    mean, std = (values[0] if len(set(values)) == 1 else values for values in (expected.mean, expected.std))
    return InputSpec(size=expected.side, colour=expected.colour, mean=mean, std=std)


class TrunkFeatures(nn.Module):
    """The trunk of a network with two inputs, which gives its `(n, d)` features.

    Args:
        net: the network, in evaluation.
    """

    def __init__(self, net: TwoInputs) -> None:
        super().__init__()
        self.trunk = net.trunk

    def forward(self, image: Tensor) -> Tensor:
        """Run the trunk.

        Args:
            image: see `Network`.
        """
        return self.trunk.features(image)


def deployed(net: Network, *, gives_features: bool) -> nn.Module:
    """What becomes the file that names expressions: a network as it is, or with a second output, or a part of it.

    A network with two inputs gives the features of its picture, and nothing else.

    Args:
        net: the network, in evaluation.
        gives_features: whether its `(n, d)` features follow its `(n, 7)` logits.
    """
    if isinstance(net, TwoInputs):
        return TrunkFeatures(net).eval()
    if isinstance(net, SpatialTransformer):
        return Reader(net, net.region_features, gives_features=gives_features).eval()
    return Reader(net, net.features, gives_features=True).eval() if gives_features else net


class Reader(nn.Module):
    """A network's head on some of its features.

    Args:
        net: the network.
        features: from a picture to the `(n, d)` activations that the head reads.
        gives_features: whether these follow the logits.
    """

    def __init__(self, net: Network, features: Callable[[Tensor], Tensor], *, gives_features: bool) -> None:
        super().__init__()
        self.net, self._features, self._gives_features = net, features, gives_features

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Run the network.

        Args:
            image: see `Network`; of a spatial transformer the region.
        """
        features = self._features(image)
        logits: Tensor = self.net.head(features)
        return (logits, features) if self._gives_features else logits
