"""What every network of the lab has: an input, features, and a head that reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn
from typing_extensions import Self

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.types import LABELS

WIDTHS = tuple(eighths / 8 for eighths in range(1, 9))
"""Factors on the channels of a network's layers."""


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """How a picture becomes the input of a network.

    Attributes:
        side: side of the square picture, pixels.
        colour: what the channels hold.
        mean: the mean of each channel: input = (pixel / 255 - mean) / std, with pixels of 0..255. Three, or one of a
            network that takes one grey channel.
        std: the standard deviation of each channel; see `mean`.
    """

    side: int
    colour: Colour
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """How many channels the input has."""
        return len(self.mean)

    @property
    def in_colour(self) -> bool:
        """Whether the channels hold red, green and blue, not grey."""
        return self.colour == "rgb"


class Network(nn.Module):
    """A classifier of faces. Each network is one file in this package with one class, which derives from this one.

    The input is `(n, channels, side, side)` float32 as `input` says; the output is `(n, 7)` logits in the order of
    `LABELS`.
    A convolution that a batch norm follows has no bias and is called `conv`, and the batch norm beside it `bn`.

    Args:
        width: factor on the channels of the layers, one of `WIDTHS`.
        resolution: side of the picture that the layers work on, pixels; None: that of `INPUT`. Training sets it
            to the size of its last stage.
        colour: what the channels hold; None: what `INPUT` says.

    Attributes:
        PURPOSE: what the network is for, one line.
        PUBLICATION: the network's full name and where it was published, for model cards.
        INPUT: the input at the published size.
        TOP: names of the layers that the stage `top` of a training trains.
        CAM_LAYERS: names of the layers whose maps Grad-CAM can show, from fine to coarse; none where no map lies over
            the whole face.
        OPERATORS: the operators without weights in the network's .tflite file, with their counts; by them a file is
            told from one of another network. RESHAPE and AVERAGE_POOL_2D are not counted. Empty: the network cannot
            be read from a .tflite file.
        SETTINGS: names of the constructor's arguments, which are kept with the weights.
        head: the last layer, from features to logits. A subclass sets it.
        dropout: between features and head. A recipe sets its share.

    Raises:
        ConfigError: when a setting is not one of those that there are.
    """

    PURPOSE: ClassVar[str]
    PUBLICATION: ClassVar[str]
    INPUT: ClassVar[NetworkInput]
    TOP: ClassVar[tuple[str, ...]] = ("dropout", "head")
    CAM_LAYERS: ClassVar[tuple[str, ...]]
    OPERATORS: ClassVar[Mapping[str, int]] = {}
    SETTINGS: ClassVar[tuple[str, ...]] = ("width", "resolution", "colour")

    head: nn.Linear

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__()
        self.width = width
        self.resolution = self.INPUT.side if resolution is None else resolution
        self.colour: Colour = self.INPUT.colour if colour is None else colour
        self.dropout = nn.Dropout(0.3)
        if width not in WIDTHS:
            raise ConfigError(f"expected a width of {WIDTHS[0]:g} to 1 in eighths for {self.name()}, found {width:g}")
        if self.resolution < 1:
            raise ConfigError(f"expected a resolution in pixels for {self.name()}, found {self.resolution}")
        if self.colour not in get_args(Colour):
            raise ConfigError(f"expected a colour ({', '.join(get_args(Colour))}) for {self.name()}, found `{colour}`")
        if self.colour == "rgb" and self.INPUT.channels == 1:
            raise ConfigError(f"expected the colour `grey` for {self.name()}, which takes one channel, found `rgb`")

    @classmethod
    def name(cls) -> str:
        """The name of the network, which is that of its file."""
        return cls.__module__.rpartition(".")[2]

    @property
    def side(self) -> int:
        """Side of the picture that the deployed network takes, pixels."""
        return self.resolution

    @property
    def input(self) -> NetworkInput:
        """How a picture becomes the input of the deployed network."""
        return replace(self.INPUT, side=self.side, colour=self.colour)

    def first_cell(self, layer: str) -> float:
        """What the first cell of a layer's map sees: the place of its middle, pixels of a picture at `resolution`.

        0 where every strided layer has half a kernel of zeros before its map, as this default supposes.

        Args:
            layer: one of `CAM_LAYERS`.
        """
        return 0.0

    def cell_stride(self, layer: str, cells: int) -> int:
        """How many pixels of a picture at `resolution` lie between what neighbouring cells of a layer's map see.

        It is the product of the layers' strides, a power of two, which this default takes from the size of the map.

        Args:
            layer: one of `CAM_LAYERS`.
            cells: side of its map.
        """
        return int(2 ** round(math.log2(self.resolution / cells)))

    def set_resolution(self, side: int) -> None:
        """Let the layers work on pictures of another size.

        Args:
            side: side of the picture, pixels.

        Raises:
            ConfigError: when the layers cannot.
        """
        self.resolution = side

    def settings(self) -> dict[str, Any]:
        """The arguments that build this network again."""
        return {name: getattr(self, name) for name in self.SETTINGS}

    @property
    def pooled_size(self) -> int:
        """How many features `pooled` gives."""
        return self.head.in_features

    def forward(self, image: Tensor) -> Tensor:
        """Run the network."""
        return self.head(self.dropout(self.features(image)))

    def features(self, image: Tensor) -> Tensor:
        """The `(n, d)` activations that the head reads.

        Args:
            image: `(n, channels, side, side)` float32, as `input` says.
        """
        raise NotImplementedError

    def pooled(self, image: Tensor) -> Tensor:
        """The `(n, pooled_size)` activations that a teacher's are compared with: what the whole picture says.

        `features` is `after_pool` of these, so that a network with dense layers between both overrides the three.

        Args:
            image: see `features`.
        """
        return self.features(image)

    def after_pool(self, pooled: Tensor) -> Tensor:
        """The activations that the head reads, from `pooled`."""
        return pooled

    def scale_blocks(self, scale: float) -> None:
        """Set the last batch-norm scale of each residual block, of a network with random weights.

        Raises:
            ConfigError: when the network has no such blocks and the scale is not 1.
        """
        if scale != 1:
            raise ConfigError(
                f"expected start.block_scale 1 for {self.name()}, which has no residual blocks, found {scale:g}"
            )

    @classmethod
    def load_foreign(cls, path: Path) -> Self:
        """The network with weights of a file that is not this lab's.

        Raises:
            ModelError: when the file cannot be read or holds other weights, or such files are not known.
        """
        raise ModelError(
            f"expected weights of {cls.name()} that this lab wrote (a run's best.npz), found {path}; "
            "no other file of this network can be read"
        )


def take_pixels(first: nn.Conv2d, expected: NetworkInput) -> None:
    """Turn kernels that read blue, green and red pixels, 0..255 minus the means, into those that read an input.

    Args:
        first: the first convolution of the network.
        expected: the network's input, which has the same means.
    """
    stds = 255 * torch.tensor(expected.std).reshape(1, -1, 1, 1)
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(1) * stds)


def new_head(features: int) -> nn.Linear:
    """A head with random weights, from so many features to one logit for each label."""
    return nn.Linear(features, len(LABELS))
