"""YOLOv3-tiny: Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018, with seven classes for expressions.

Aljaz, "Facial expression recognition in the wild" (Ljubljana, 2020), finds faces and expressions with it in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_fer.errors import ConfigError
from edge_fer.inference.manifest_detect import ANCHORS_EACH, BOX_VALUES, STRIDES
from edge_fer.lab.networks.base import NetworkInput
from edge_fer.lab.networks.layers import ConvNorm
from edge_fer.types import LABELS

Activation = Literal["leaky", "relu"]
"""Of all layers: leaky ReLU as published, or ReLU, which an Edge TPU computes within the convolution."""

Anchor = tuple[float, float]
"""Width and height of a box, pixels of the network's input."""

VALUES = BOX_VALUES + len(LABELS)
"""What an anchor gives: x, y, width, height, objectness, and a score for each class."""

PUBLISHED_SIDE = 416
PUBLISHED_ANCHORS: tuple[Anchor, ...] = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
"""Those of `yolov3-tiny.cfg`, for its 416 pixels. There the finer output has the second to the fourth, by mistake; here
it has the first three."""

_WIDTHS = (0.0625, 0.125, 0.25, 0.5, 0.75, 1.0)
_SLOPE = 0.1


class YoloV3Tiny(nn.Module):
    """Finds faces and their expressions in one pass over a picture.

    The input is `(n, 3, side, side)` float32 as `input` says. The outputs are two maps of `STRIDES` in this order,
    `(n, 36, side / stride, side / stride)`: for each of three anchors tx, ty, tw, th, objectness, and a logit for each
    of `LABELS`.

    Args:
        width: factor on the channels of the layers, 1/16 to 1.
        resolution: side of the picture, pixels: a multiple of 32.
        activation: see `Activation`.
        anchors: six, smallest first, for that resolution; the first three belong to the finer output. None: those of
            `yolov3-tiny.cfg`.

    Attributes:
        anchors: the anchors at the resolution.

    Raises:
        ConfigError: when a setting is not one of those that there are.
    """

    PURPOSE: ClassVar[str] = "finds faces and their expressions in one pass, on an Edge TPU, too"
    PUBLICATION: ClassVar[str] = "YOLOv3-tiny (Redmon and Farhadi, 2018) with the seven expressions (Aljaz, 2020)"

    def __init__(
        self,
        width: float = 1.0,
        resolution: int = PUBLISHED_SIDE,
        activation: Activation = "leaky",
        anchors: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        _check(width, activation)
        self.width, self.activation = width, activation
        self._given = (PUBLISHED_ANCHORS, PUBLISHED_SIDE) if anchors is None else (_checked(anchors), resolution)
        self.set_resolution(resolution)
        channels = [_channels(published, width) for published in (16, 32, 64, 128, 256, 512, 1024)]
        inputs = 3
        for number, outputs in enumerate(channels, 1):
            self.add_module(f"conv{number}", ConvNorm(inputs, outputs, 3))
            inputs = outputs
        neck, lateral, route = channels[4], channels[3], channels[4]
        self.neck = ConvNorm(inputs, neck, 1)
        self.coarse = ConvNorm(neck, channels[5], 3)
        self.lateral = ConvNorm(neck, lateral, 1)
        self.up = UpTwice(lateral)
        self.fine = ConvNorm(lateral + route, channels[4], 3)
        self.heads = nn.ModuleList(nn.Conv2d(inner, ANCHORS_EACH * VALUES, 1) for inner in (channels[4], channels[5]))

    @classmethod
    def name(cls) -> str:
        """The name of the network, which is that of its file."""
        return cls.__module__.rpartition(".")[2]

    @property
    def input(self) -> NetworkInput:
        """How a picture becomes the network's input: red, green and blue of 0..1."""
        return NetworkInput(self.resolution, "rgb", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def settings(self) -> dict[str, Any]:
        """The arguments that build this network again."""
        return {name: getattr(self, name) for name in ("width", "resolution", "activation", "anchors")}

    def set_resolution(self, side: int) -> None:
        """Let the layers work on pictures of another size; the anchors keep their part of the picture.

        Args:
            side: side of the picture, pixels.

        Raises:
            ConfigError: when it is no multiple of 32.
        """
        if side < STRIDES[-1] or side % STRIDES[-1]:
            raise ConfigError(f"expected a resolution in multiples of {STRIDES[-1]} pixels, found {side}")
        anchors, for_side = self._given
        self.anchors: tuple[Anchor, ...] = tuple((w * side / for_side, h * side / for_side) for w, h in anchors)
        self.resolution = side

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network."""
        maps, route = image, image
        for number in range(1, 8):
            maps = self._activate(self.get_submodule(f"conv{number}")(maps))
            if number == 5:
                route = maps
            if number < 6:
                maps = functional.max_pool2d(maps, 2, 2)
            elif number == 6:
                maps = self._pool_in_place(maps)
        neck = self._activate(self.neck(maps))
        coarse = self.heads[1](self._activate(self.coarse(neck)))
        wider = torch.cat([self.up(self._activate(self.lateral(neck))), route], dim=1)
        return self.heads[0](self._activate(self.fine(wider))), coarse

    def _activate(self, maps: Tensor) -> Tensor:
        return functional.relu(maps) if self.activation == "relu" else functional.leaky_relu(maps, _SLOPE)

    def _pool_in_place(self, maps: Tensor) -> Tensor:
        """The largest of 2x2 cells at each cell; beyond the right and the lower edge there is nothing to be larger."""
        nothing = 0.0 if self.activation == "relu" else -torch.inf
        return functional.max_pool2d(functional.pad(maps, (0, 1, 0, 1), value=nothing), 2, 1)


class UpTwice(nn.Module):
    """Each cell four times, as nearest neighbours: a transposed convolution, which the Edge TPU's compiler takes.

    Of RESIZE_NEAREST_NEIGHBOR the converter makes a form that it leaves on the CPU.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = torch.eye(channels)[:, :, None, None].repeat(1, 1, 2, 2)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Run the layer."""
        kernel = self.get_buffer("kernel")
        return functional.conv_transpose2d(maps, kernel, stride=2)


def _channels(published: int, width: float) -> int:
    """The channels of a layer at a width: a multiple of 8, which accelerators compute best."""
    return max(8, round(published * width / 8) * 8)


def _check(width: float, activation: str) -> None:
    if width not in _WIDTHS:
        known = ", ".join(f"{known:g}" for known in _WIDTHS)
        raise ConfigError(f"expected a width ({known}) for yolov3_tiny, found {width:g}")
    if activation not in get_args(Activation):
        raise ConfigError(f"expected an activation ({', '.join(get_args(Activation))}), found `{activation}`")


def _checked(anchors: Sequence[Sequence[float]]) -> tuple[Anchor, ...]:
    if len(anchors) != ANCHORS_EACH * len(STRIDES) or any(len(pair) != 2 or min(pair) <= 0 for pair in anchors):
        raise ConfigError(f"expected six anchors, each a width and a height in pixels, found {anchors}")
    return tuple((float(width), float(height)) for width, height in anchors)
