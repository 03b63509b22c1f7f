"""A network as it is deployed: its input as the manifest states it, and what its file gives."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.networks.base import Network
from edge_fer.lab.networks.frame_attention import FrameAttentionNetwork
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

    A network with two inputs gives the features of its picture, and nothing else. One that reads tracks gives the
    features of a frame, and what it says of a track of that frame alone.

    Args:
        net: the network, in evaluation.
        gives_features: whether its `(n, d)` features follow its `(n, 7)` logits.
    """
    if isinstance(net, TwoInputs):
        return TrunkFeatures(net).eval()
    if isinstance(net, FrameAttentionNetwork):
        return Reader(net.embedding, net.embedding.features, net.single_head(), gives_features=True).eval()
    if isinstance(net, SpatialTransformer):
        return Reader(net, net.region_features, net.head, gives_features=gives_features).eval()
    return Reader(net, net.features, net.head, gives_features=True).eval() if gives_features else net


def feature_width(net: Network) -> int:
    """How many features the file of a network gives, where it gives any."""
    if isinstance(net, TwoInputs):
        return int(net.picture.in_features)
    return net.pooled_size if isinstance(net, FrameAttentionNetwork) else int(net.head.in_features)


class Reader(nn.Module):
    """A head on some features of a network.

    Args:
        net: the network.
        features: one of its functions, from a picture to the `(n, d)` activations that the head reads.
        head: from these to logits.
        gives_features: whether these follow the logits.
    """

    def __init__(
        self, net: Network, features: Callable[[Tensor], Tensor], head: nn.Linear, *, gives_features: bool
    ) -> None:
        super().__init__()
        self.net, self._features, self.head, self._gives_features = net, features, head, gives_features

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Run the network.

        Args:
            image: see `Network`; of a spatial transformer the region.
        """
        features = self._features(image)
        logits: Tensor = self.head(features)
        return (logits, features) if self._gives_features else logits
