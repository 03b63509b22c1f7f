"""MobileNet v1: Howard et al., "MobileNets: Efficient CNNs for Mobile Vision Applications", 2017.

Batch norms are folded into the convolutions, as in the published face weights: HSE_FaceRec, Savchenko, "Facial
expression and attributes recognition based on multi-task learning of lightweight neural networks", 2021.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Self

from edge_fer.lab.arrays import NamedArrays, read_npz
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network, NetworkInput, new_head, take_pixels
from edge_fer.lab.networks.layers import same_zeros

_OUTPUTS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_STRIDED = (2, 4, 6, 12)
"""Numbers of the blocks that halve the map."""

_MEANS = (123.68, 116.779, 103.939)  # of red, green and blue over ImageNet, 0..255


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's 'same' padding and a ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)
        nn.init.kaiming_normal_(self.weight, mode="fan_in", nonlinearity="relu")
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Run the layer."""
        (top, bottom), (left, right) = (self.zeros(side) for side in maps.shape[2:])
        if (top, left) == (bottom, right):
            maps = functional.conv2d(maps, self.weight, self.bias, self.stride, (top, left), groups=self.groups)
        else:
            maps = super().forward(functional.pad(maps, (left, right, top, bottom)))
        return functional.relu6(maps)

    def zeros(self, side: int) -> tuple[int, int]:
        """How many zeros stand before and behind a map of a side."""
        return same_zeros(side, int(self.kernel_size[0]), int(self.stride[0]))


class Block(nn.Module):
    """A 3x3 convolution of each channel alone (with the stride), then a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = SameConv(inputs, inputs, 3, stride, groups=inputs)
        self.pointwise = SameConv(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Run the block."""
        return self.pointwise(self.depthwise(maps))


class MobileNetV1(Network):
    """MobileNet v1 without batch norms; the head reads the mean of the last map, 1024 features at full width."""

    PURPOSE = "a quick network whose published weights know faces: a teacher for smaller ones, or a classifier"
    PUBLICATION = "MobileNet v1 (Howard et al., 2017)"
    OPERATORS = MappingProxyType({"MEAN": 1})
    INPUT = NetworkInput(
        side=160,
        colour="grey",
        mean=(_MEANS[0] / 255, _MEANS[1] / 255, _MEANS[2] / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
    )
    CAM_LAYERS = ("block3", "block5", "block11", "block13")

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__(width, resolution, colour)
        inputs = _channels(32, width)
        self.conv1 = SameConv(3, inputs, 3, stride=2)
        self.blocks: list[str] = []
        for number, published in enumerate(_OUTPUTS, 1):
            name, outputs = f"block{number}", _channels(published, width)
            self.add_module(name, Block(inputs, outputs, stride=2 if number in _STRIDED else 1))
            self.blocks.append(name)
            inputs = outputs
        self.head = new_head(inputs)

    def features(self, image: Tensor) -> Tensor:
        """The `(n, 1024 * width)` means of the last map's channels."""
        maps = self.conv1(image)
        for name in self.blocks:
            maps = self.get_submodule(name)(maps)
        # keepdim, then flatten: without it the converter would transpose before the mean.
        return maps.mean(dim=(2, 3), keepdim=True).flatten(1)

    def first_cell(self, layer: str) -> float:
        """See `Network.first_cell`; at an even side, 'same' padding puts no zero before the map."""
        place, step, side = 0.0, 1, self.resolution
        for name in ("conv1", *self.blocks[: self.blocks.index(layer) + 1]):
            strided = self.conv1 if name == "conv1" else self.get_submodule(name).depthwise
            place += step * (1 - strided.zeros(side)[0])
            step, side = step * strided.stride[0], -(-side // strided.stride[0])
        return place

    @classmethod
    def load_foreign(cls, path: Path) -> Self:
        """The network with weights for faces, whose first kernels read blue, green and red.

        Args:
            path: an .npz file with arrays `conv1.*`, `block1.depthwise.*` ... `block13.pointwise.*`, float16 or
                float32, for BGR pixels of 0..255 minus (103.939, 116.779, 123.68); and perhaps `head_ferplus.*`.
                Without that, the head is new.

        Raises:
            ModelError: when the file cannot be read, or an array is missing or has another shape.
        """
        net, arrays = cls(), NamedArrays(read_npz(path), path, "MobileNet v1 with folded batch norms")
        has_head = "head_ferplus.weight" in arrays
        for name, parameter in net.state_dict().items():
            if not name.startswith("head."):
                arrays.fill(parameter, name)
            elif has_head:
                arrays.fill(parameter, name.replace("head.", "head_ferplus."))
        take_pixels(net.conv1, cls.INPUT)
        return net.eval()


def _channels(published: int, width: float) -> int:
    """The channels of a layer at a width: a multiple of 8, which accelerators compute best."""
    return max(8, round(published * width / 8) * 8)
