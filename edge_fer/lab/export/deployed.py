"""A network as it is deployed: its input as the manifest states it, and what its file gives."""

from __future__ import annotations

from torch import Tensor, nn

from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.networks.base import Network
from edge_fer.lab.networks.two_inputs import TwoInputs


def input_spec(net: Network) -> InputSpec:
    """A network's input as the manifest states it: one mean and deviation where all channels have the same."""
    expected = net.input
    mean, std = (values[0] if len(set(values)) == 1 else values for values in (expected.mean, expected.std))
    return InputSpec(size=expected.side, colour=expected.colour, mean=mean, std=std)


def deployed(net: Network, *, features: bool) -> nn.Module:
    """What goes into the network's file.

    Args:
        net: the network, in evaluation.
        features: whether the features are given beside the logits. A network with two inputs gives those of its
            picture, and nothing else.
    """
    if isinstance(net, TwoInputs):
        return TrunkFeatures(net)
    return WithFeatures(net) if features else net


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


class WithFeatures(nn.Module):
    """A network that gives its `(n, d)` features after its `(n, 7)` logits.

    Args:
        net: the network, in evaluation.
    """

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network.

        Args:
            image: see `Network`.
        """
        features = self.net.features(image)
        return self.net.head(features), features
