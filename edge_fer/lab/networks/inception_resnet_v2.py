"""Inception-ResNet v2: Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections", 2017.

As in Keras's applications, whose weights it can take.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from typing_extensions import Self

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.arrays import NamedArrays, read_keras
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network, NetworkInput, new_head
from edge_fer.lab.networks.layers import ConvNorm

_SMALLEST = 75
"""Side of the smallest picture whose last map has a place."""

_Kernel = int | tuple[int, int]
_Layer = tuple[int, _Kernel] | tuple[int, _Kernel, int]
"""Channels at full width, kernel, and perhaps the stride; a layer with a stride has no zeros around its map."""

_Branches = tuple[tuple[_Layer, ...], ...]


class Conv(ConvNorm):
    """A convolution with its batch norm and a ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: _Kernel, stride: int = 1, *, padded: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, padded=padded, epsilon=1e-3)

    def forward(self, maps: Tensor) -> Tensor:
        """Run the layer."""
        return torch.relu(super().forward(maps))


class Linear(nn.Conv2d):
    """The 1x1 convolution that ends a residual branch; what it makes counts by a factor.

    The factor is on weights and biases, not on the map, so that the converter folds it away.
    """

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__(inputs, outputs, 1)
        self.scale = scale

    def forward(self, maps: Tensor) -> Tensor:
        """Run the layer."""
        assert self.bias is not None
        return nn.functional.conv2d(maps, self.weight * self.scale, self.bias * self.scale)


class Mixed(nn.ModuleList):
    """Branches that read the same map; their maps lie one behind the other."""

    def forward(self, maps: Tensor) -> Tensor:
        """Run the branches."""
        return torch.cat([branch(maps) for branch in self], dim=1)


class Block(nn.Module):
    """Branches and a linear convolution, added to what they read.

    Args:
        inputs: channels of the map that it reads, and makes.
        width: factor on the channels of the branches.
        branches: the layers of each branch.
        scale: factor on what is added.
        last: whether it is the last one, which has no ReLU.
    """

    def __init__(self, inputs: int, width: float, branches: _Branches, scale: float, *, last: bool = False) -> None:
        super().__init__()
        self.mixed = Mixed(_branch(inputs, width, layers) for layers in branches)
        self.linear = Linear(_made(branches, width), inputs, scale)
        self.last = last

    def forward(self, maps: Tensor) -> Tensor:
        """Run the block."""
        maps = maps + self.linear(self.mixed(maps))
        return maps if self.last else torch.relu(maps)


_STEM: tuple[_Layer, ...] = ((32, 3, 2), (32, 3, 1), (64, 3))
_STEM_2: tuple[_Layer, ...] = ((80, 1), (192, 3, 1))
_MIXED_5B: _Branches = (((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)))
_POOLED_5B: tuple[_Layer, ...] = ((64, 1),)
_BLOCK35: _Branches = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3)))
_MIXED_6A: _Branches = (((384, 3, 2),), ((256, 1), (256, 3), (384, 3, 2)))
_BLOCK17: _Branches = (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1))))
_MIXED_7A: _Branches = (((256, 1), (384, 3, 2)), ((256, 1), (288, 3, 2)), ((256, 1), (288, 3), (320, 3, 2)))
_BLOCK8: _Branches = (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1))))

_CELLS = {"block35": (13.0, 8), "block17": (21.0, 16), "conv_7b": (37.0, 32)}
"""Of the map of each layer: what its first cell sees, and the pixels from there to the next."""


class InceptionResNetV2(Network):
    """Inception-ResNet v2; the head reads the means of the last map, 1536 features at full width.

    EmoNet's first network: Kumari, "EmoNet: Facial Expression Recognition using Deep Learning Techniques". At 139
    pixels the last map has 3x3 places.

    Args:
        width: see `Network`.
        resolution: see `Network`; at least 75.
        colour: see `Network`.
    """

    PURPOSE = "EmoNet's first network, whose published weights know objects, not faces; slow everywhere"
    PUBLICATION = "Inception-ResNet v2 (Szegedy et al., 2017)"
    OPERATORS = MappingProxyType({"ADD": 40, "CONCATENATION": 43, "MAX_POOL_2D": 4, "MEAN": 1})
    INPUT = NetworkInput(side=139, colour="grey", mean=(0.5,) * 3, std=(0.5,) * 3)
    CAM_LAYERS = tuple(_CELLS)

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__(width, resolution, colour)
        self.set_resolution(self.resolution)
        self.stem = nn.Sequential(
            *_branch(3, width, _STEM),
            nn.MaxPool2d(3, 2),
            *_branch(_channels(64, width), width, _STEM_2),
            nn.MaxPool2d(3, 2),
        )
        inputs = _channels(192, width)
        self.mixed_5b = Mixed(
            [
                *(_branch(inputs, width, layers) for layers in _MIXED_5B),
                nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), *_branch(inputs, width, _POOLED_5B)),
            ]
        )
        inputs = _made(_MIXED_5B, width) + _made((_POOLED_5B,), width)
        self.block35 = nn.Sequential(*(Block(inputs, width, _BLOCK35, 0.17) for _ in range(10)))
        self.mixed_6a = _reduction(inputs, width, _MIXED_6A)
        inputs += _made(_MIXED_6A, width)
        self.block17 = nn.Sequential(*(Block(inputs, width, _BLOCK17, 0.1) for _ in range(20)))
        self.mixed_7a = _reduction(inputs, width, _MIXED_7A)
        inputs += _made(_MIXED_7A, width)
        self.block8 = nn.Sequential(
            *(Block(inputs, width, _BLOCK8, 0.2) for _ in range(9)), Block(inputs, width, _BLOCK8, 1.0, last=True)
        )
        self.conv_7b = Conv(inputs, _channels(1536, width), 1)
        self.head = new_head(_channels(1536, width))

    def set_resolution(self, side: int) -> None:
        """See `Network.set_resolution`."""
        if side < _SMALLEST:
            raise ConfigError(f"expected at least {_SMALLEST} pixels for {self.name()}, found {side}")
        super().set_resolution(side)

    def features(self, image: Tensor) -> Tensor:
        """The `(n, 1536 * width)` means of the last map's channels."""
        maps = self.block35(self.mixed_5b(self.stem(image)))
        maps = self.block17(self.mixed_6a(maps))
        maps = self.conv_7b(self.block8(self.mixed_7a(maps)))
        # keepdim, then flatten: without it the converter would transpose before the mean.
        return maps.mean(dim=(2, 3), keepdim=True).flatten(1)

    def first_cell(self, layer: str) -> float:
        """See `Network.first_cell`; the layers that reduce the map have no zeros around it."""
        return _CELLS[layer][0]

    def cell_stride(self, layer: str, cells: int) -> int:
        """See `Network.cell_stride`."""
        return _CELLS[layer][1]

    def scale_blocks(self, scale: float) -> None:
        """Scale the convolution that ends each block, which has no batch norm."""
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, Linear):
                    layer.weight *= scale
                    layer.bias *= scale

    @classmethod
    def load_foreign(cls, path: Path) -> Self:
        """The network with the trunk of Keras's applications, trained on ImageNet, and a new head.

        Args:
            path: `inception_resnet_v2_weights_tf_dim_ordering_tf_kernels(_notop).h5`.

        Raises:
            ModelError: when the file cannot be read, or an array is missing or has another shape.
        """
        net, arrays = cls(), NamedArrays(read_keras(path, _KERAS), path, _KERAS)
        layers = [layer for layer in net.modules() if isinstance(layer, Conv)]
        convolutions = [*_numbered("conv2d", len(layers) - 1, arrays), "conv_7b"]
        norms = [*_numbered("batch_normalization", len(layers) - 1, arrays), "conv_7b_bn"]
        for layer, convolution, norm in zip(layers, convolutions, norms, strict=True):
            arrays.fill(layer.conv.weight, f"{convolution}/kernel")
            arrays.fill(layer.bn.bias, f"{norm}/beta")
            arrays.fill(layer.bn.running_mean, f"{norm}/moving_mean")
            arrays.fill(layer.bn.running_var, f"{norm}/moving_variance")
        for kind in ("block35", "block17", "block8"):
            for number, block in enumerate(net.get_submodule(kind).children(), 1):
                linear = block.get_submodule("linear")
                arrays.fill(linear.weight, f"{kind}_{number}_conv/kernel")
                arrays.fill(linear.bias, f"{kind}_{number}_conv/bias")
        return net.eval()


_KERAS = "Keras's Inception-ResNet v2"


def _numbered(kind: str, count: int, arrays: NamedArrays) -> list[str]:
    """The layers that Keras named by their kind, in the order in which it built them, which is ours.

    Their numbers begin with 1 in the published file, with none in newer ones, and further on where other networks were
    built before.
    """
    layers = {name.rpartition("/")[0] for name in arrays.arrays}
    numbers = {layer: found[1] or "0" for layer in layers if (found := re.fullmatch(rf"{kind}(?:_(\d+))?", layer))}
    if len(numbers) != count:
        raise ModelError(
            f"expected {count} layers {kind}_1 to {kind}_{count} in {arrays.path}, found {len(numbers)}; "
            f"this is not {_KERAS}"
        )
    return sorted(numbers, key=lambda layer: int(numbers[layer]))


def _channels(published: int, width: float) -> int:
    return round(published * width)


def _made(branches: _Branches, width: float) -> int:
    """Channels of the maps of some branches together."""
    return sum(_channels(layers[-1][0], width) for layers in branches)


def _branch(inputs: int, width: float, layers: tuple[_Layer, ...]) -> nn.Sequential:
    branch = nn.Sequential()
    for outputs, kernel, *stride in layers:
        channels = _channels(outputs, width)
        branch.append(Conv(inputs, channels, kernel, *stride, padded=not stride))
        inputs = channels
    return branch


def _reduction(inputs: int, width: float, branches: _Branches) -> Mixed:
    """Branches that halve the map, one of them a pool."""
    return Mixed([*(_branch(inputs, width, layers) for layers in branches), nn.MaxPool2d(3, 2)])
