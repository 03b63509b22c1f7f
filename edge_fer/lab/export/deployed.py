"""A network as it is deployed: its input as the manifest states it, and perhaps its features beside the logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.networks.base import Network


def input_spec(net: Network) -> InputSpec:
    """A network's input as the manifest states it: a grey picture has one mean and one deviation."""
    expected = net.input
    if expected.in_colour:
        return InputSpec(size=expected.side, colour="rgb", mean=expected.mean, std=expected.std)
    return InputSpec(size=expected.side, colour="grey", mean=_middle(expected.mean), std=_middle(expected.std))


def _middle(values: tuple[float, float, float]) -> float:
    return values[0] if len(set(values)) == 1 else sum(values) / 3


def as_deployed(net: Network, *, features: bool = False) -> nn.Module:
    """A network that takes pictures as `input_spec` says, ready to be converted.

    Args:
        net: the network.
        features: whether the `(n, d)` features are a second output, after the `(n, 7)` logits.

    Returns:
        The network itself where it is that already.
    """
    expected = net.input
    channels_differ = len(set(expected.mean)) > 1 or len(set(expected.std)) > 1
    if not features and (expected.in_colour or not channels_differ):
        return net.eval()
    return DeployedNetwork(net, features=features).eval()


class DeployedNetwork(nn.Module):
    """A network with another input, perhaps with its features as a second output; see `as_deployed`.

    Where the means or deviations of a grey network differ between its channels, the difference is its first
    operation, since the manifest has one of each for grey pictures. It is a 1x1 convolution of each channel alone:
    the converter transposes around a sum with a constant, and an Edge TPU does not transpose.
    """

    def __init__(self, net: Network, *, features: bool) -> None:
        super().__init__()
        self.net = net
        self._features = features
        self.channels = None if net.input.in_colour else _channel_layer(input_spec(net), net)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Run the network.

        Args:
            image: `(n, 3, side, side)` float32, as `input_spec` says.
        """
        if self.channels is not None:
            image = self.channels(image)
        features = self.net.features(image)
        logits = self.net.head(features)
        return (logits, features) if self._features else logits


def _channel_layer(spec: InputSpec, net: Network) -> nn.Conv2d | None:
    """From (pixel / 255 - mean) / std of the manifest to that of each channel; None where they are the same."""
    mean, std = spec.means[0], spec.stds[0]
    scale = torch.tensor([std / own for own in net.input.std])
    offset = torch.tensor(
        [(mean - own_mean) / own_std for own_mean, own_std in zip(net.input.mean, net.input.std, strict=True)]
    )
    if torch.equal(scale, torch.ones(3)) and not offset.any():
        return None
    layer = nn.Conv2d(3, 3, 1, groups=3)
    with torch.no_grad():
        layer.weight.copy_(scale.reshape(3, 1, 1, 1))
        layer.bias.copy_(offset)
    return layer
