"""VGG-Face: Parkhi et al., "Deep Face Recognition", 2015; VGG16 of Simonyan and Zisserman, 2015, for faces."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Self

from edge_fer.errors import ConfigError
from edge_fer.lab.arrays import NamedArrays, read_keras
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network, NetworkInput, new_head, take_pixels

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels of each block at full width, and how many convolutions it has."""

_DENSE = 4096
_SHRINK = 32
"""How many times smaller the map behind the last pool is than the picture."""

_MEANS = (129.1863, 104.7624, 93.5940)  # of red, green and blue over the VGG Face data set, 0..255
_STD = 64 / 255  # about that of faces, so that the first maps are as large as their kernels are drawn for
_KERAS = "keras-vggface's VGG16"


class VGGFace(Network):
    """VGG16 without batch norms; two dense layers of 4096 units, each with dropout, and the head.

    The first dense layer, `fc6`, reads every place of the last map, 7x7 at 224 pixels: its weights are for one size of
    picture.

    Args:
        width: see `Network`; the dense layers become narrower, too.
        resolution: see `Network`; at least 32.
        colour: see `Network`.
    """

    PURPOSE = "the thesis's other network, large and slow; SE-ResNet-50 is better at a fifth of the size"
    PUBLICATION = "VGG-Face (Parkhi et al., 2015: VGG16, Simonyan and Zisserman, 2015)"
    OPERATORS = MappingProxyType({"MAX_POOL_2D": 5})
    INPUT = NetworkInput(
        side=224, colour="rgb", mean=(_MEANS[0] / 255, _MEANS[1] / 255, _MEANS[2] / 255), std=(_STD,) * 3
    )
    TOP = ("fc6", "fc7", "dropout", "head")
    CAM_LAYERS = ("block3", "block4", "block5")

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__(width, resolution, colour)
        inputs, dense = 3, round(_DENSE * width)
        for number, (published, count) in enumerate(_BLOCKS, 1):
            outputs = round(published * width)
            self.add_module(f"block{number}", _block(inputs, outputs, count))
            inputs = outputs
        self.fc6 = nn.Linear(_places(self.resolution) ** 2 * inputs, dense)
        self.fc7 = nn.Linear(dense, dense)
        self.head = new_head(dense)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer is not self.head:
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def set_resolution(self, side: int) -> None:
        """See `Network.set_resolution`.

        Where the last map becomes smaller or larger, each place of the new one takes over the weights in `fc6` of those
        that it covers, in proportion to their area.
        """
        places, before = _places(side), _places(self.resolution)
        super().set_resolution(side)
        if places == before:
            return
        old = self.fc6.weight
        shares = _shares(before, places).to(old)
        maps = old.detach().unflatten(1, (before, before, -1))
        weight = torch.einsum("ohwi,Hh,Ww->oHWi", maps, shares, shares).flatten(1)
        self.fc6.in_features = weight.shape[1]
        self.fc6.weight = nn.Parameter(weight, old.requires_grad)

    def features(self, image: Tensor) -> Tensor:
        """The `(n, 4096 * width)` activations of the second dense layer."""
        maps = image
        for number in range(1, len(_BLOCKS) + 1):
            maps = functional.max_pool2d(self.get_submodule(f"block{number}")(maps), 2)
        # Channels last before the flattening: without it the converter would transpose at run time.
        places = maps.permute(0, 2, 3, 1).flatten(1)
        return torch.relu(self.fc7(self.dropout(torch.relu(self.fc6(places)))))

    def first_cell(self, layer: str) -> float:
        """See `Network.first_cell`; each pool before the layer makes one of two places, with no zero before them."""
        pools = int(layer.removeprefix("block")) - 1
        return (2**pools - 1) / 2

    @classmethod
    def load_foreign(cls, path: Path) -> Self:
        """The network with the weights of keras-vggface's VGG16, and a new head.

        Args:
            path: `rcmalli_vggface_tf_(notop_)vgg16.h5`. Without its own top, the dense layers are new, too; of a file
                that has it, the classifier of persons is left out.

        Raises:
            ModelError: when the file cannot be read, or an array is missing or has another shape.
        """
        net, arrays = cls(), NamedArrays(read_keras(path, _KERAS), path, _KERAS)
        for number, (_, count) in enumerate(_BLOCKS, 1):
            for place in range(1, count + 1):
                _fill(net.get_submodule(f"block{number}.conv{place}"), arrays, f"conv{number}_{place}")
        if "fc6/kernel" in arrays:
            _fill(net.fc6, arrays, "fc6")
            _fill(net.fc7, arrays, "fc7")
        take_pixels(net.get_submodule("block1.conv1"), cls.INPUT)
        return net.eval()


def _fill(layer: nn.Module, arrays: NamedArrays, name: str) -> None:
    arrays.fill(layer.weight, f"{name}/kernel")
    arrays.fill(layer.bias, f"{name}/bias")


def _block(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """3x3 convolutions, each with a ReLU."""
    block = nn.Sequential()
    for number in range(1, count + 1):
        block.add_module(f"conv{number}", nn.Conv2d(inputs if number == 1 else outputs, outputs, 3, padding=1))
        block.add_module(f"relu{number}", nn.ReLU())
    return block


def _shares(before: int, after: int) -> Tensor:
    """`(after, before)`: how much of each of `before` parts of a line lies in each of `after` parts of it."""
    ends = torch.arange(1, after + 1)[:, None] * before / after
    first, last = torch.arange(before), torch.arange(1, before + 1)
    return (torch.minimum(ends, last) - torch.maximum(ends - before / after, first)).clamp(min=0)


def _places(side: int) -> int:
    """Side of the map behind the last pool.

    Raises:
        ConfigError: when there would be none.
    """
    if side < _SHRINK:
        raise ConfigError(f"expected at least {_SHRINK} pixels for vgg_face, found {side}")
    return side // _SHRINK
