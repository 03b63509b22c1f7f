"""What ResNet-50 and SE-ResNet-50 share: He et al., "Deep Residual Learning for Image Recognition", 2016.

In the form of Cao et al., "VGGFace2: A dataset for recognising faces across pose and age", 2018: a stage strides in the
first 1x1 convolution of its first block.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from edge_fer.errors import ModelError
from edge_fer.lab.arrays import NamedArrays, read_keras
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network
from edge_fer.lab.networks.layers import ConvNorm, same_zeros

GREY_MEAN, GREY_STD = 0.508, 0.255
"""Mean and standard deviation of the pixels of grey faces, 0..1."""

_STAGES = ("stage2", "stage3", "stage4", "stage5")
_KERAS_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_KERAS_CONVOLUTIONS = {"reduce": "1x1_reduce", "conv3x3": "3x3", "expand": "1x1_increase", "shortcut": "1x1_proj"}
_KERAS_SQUEEZES = {"se_down": "1x1_down", "se_up": "1x1_up"}


class Bottleneck(nn.Module):
    """1x1 (with the stride), 3x3, 1x1; perhaps squeeze-and-excitation on that, before the addition.

    Args:
        inputs: channels of the map that it reads.
        width: channels of the 3x3 convolution.
        outputs: channels of the map that it makes.
        stride: of the first convolution, and of the shortcut.
        squeeze: whether it has squeeze-and-excitation.
        reduction: how many times fewer channels that squeezes to.
    """

    def __init__(
        self, inputs: int, width: int, outputs: int, stride: int, *, squeeze: bool, reduction: int = 16
    ) -> None:
        super().__init__()
        self.squeeze = squeeze
        self.reduce = ConvNorm(inputs, width, 1, stride)
        self.conv3x3 = ConvNorm(width, width, 3)
        self.expand = ConvNorm(width, outputs, 1)
        if squeeze:
            self.se_down = nn.Conv2d(outputs, outputs // reduction, 1)
            self.se_up = nn.Conv2d(outputs // reduction, outputs, 1)
        self.shortcut = ConvNorm(inputs, outputs, 1, stride) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Run the block."""
        shortcut = self.shortcut(features)
        features = torch.relu(self.reduce(features))
        features = torch.relu(self.conv3x3(features))
        features = self.expand(features)
        if self.squeeze:
            squeezed = features.mean(dim=(2, 3), keepdim=True)
            features = features * torch.sigmoid(self.se_up(torch.relu(self.se_down(squeezed))))
        return torch.relu(features + shortcut)


class ResidualNetwork(Network):
    """A network with the trunk of ResNet-50: a strided convolution, a pool, and four stages of blocks.

    Args:
        width: see `Network`; every layer keeps a multiple of 8 channels, which accelerators compute best.
        resolution: see `Network`.
        colour: see `Network`.
        squeeze: whether blocks have squeeze-and-excitation.
        keras: whether borders are those of keras-vggface: TensorFlow's 'same' padding at the first convolution, none
            at the pool; else both have half a kernel of zeros around the map.
        epsilon: of the batch norms.
    """

    CAM_LAYERS = _STAGES

    def __init__(
        self,
        width: float,
        resolution: int | None,
        colour: Colour | None,
        *,
        squeeze: bool,
        keras: bool,
        epsilon: float,
    ) -> None:
        super().__init__(width, resolution, colour)
        self._keras, self._squeeze = keras, squeeze
        widths = [round(channels * width) for channels in (64, 128, 256, 512)]
        self.stem = ConvNorm(3, widths[0], 7, stride=2)
        inputs = widths[0]
        for name, channels, blocks in zip(_STAGES, widths, (3, 4, 6, 3), strict=True):
            self.add_module(
                name, _stage(inputs, channels, blocks, stride=1 if name == "stage2" else 2, squeeze=squeeze)
            )
            inputs = 4 * channels
        self.trunk_size = inputs
        if keras:
            self.stem.conv.padding = (0, 0)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = epsilon

    def trunk(self, image: Tensor) -> Tensor:
        """The `(n, trunk_size)` means of the last map's channels.

        Args:
            image: as the first convolution takes it.
        """
        if self._keras:
            before, behind = same_zeros(image.shape[-1], 7, 2)
            image = nn.functional.pad(image, (before, behind) * 2)
        features = torch.relu(self.stem(image))
        if not self._keras:
            # Zeros, not -inf, around the pool: the same after a ReLU, and the Edge TPU has no PADV2.
            features = nn.functional.pad(features, (1, 1, 1, 1))
        features = nn.functional.max_pool2d(features, 3, 2)
        for name in _STAGES:
            features = self.get_submodule(name)(features)
        # keepdim, then flatten: without it the converter would transpose before the mean.
        return features.mean(dim=(2, 3), keepdim=True).flatten(1)

    def first_cell(self, layer: str) -> float:
        """See `Network.first_cell`; only the stem and the pool of `keras` differ from what it supposes."""
        if not self._keras:
            return 0.0
        return float(3 - same_zeros(self.resolution, 7, 2)[0] + 2)

    def scale_blocks(self, scale: float) -> None:
        """Set the last batch-norm scale of each block."""
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, Bottleneck):
                    layer.expand.bn.weight.fill_(scale)

    def fill_trunk(self, path: Path, owner: str) -> None:
        """Take the trunk of a file of keras-vggface, with or without its classifier of persons, which is left out.

        Args:
            path: the .h5 file.
            owner: the network whose weights they should be, for messages.

        Raises:
            ModelError: when the file cannot be read, or an array is missing or has another shape.
        """
        arrays = NamedArrays(read_keras(path, owner), path, owner)
        gate = next((name for name in arrays.arrays if name.endswith("1x1_down/kernel")), None)
        if gate is not None and not self._squeeze:
            raise ModelError(f"expected {owner} in {path}, found SENet-50, which has `{gate}`; give the other file")
        _fill_conv_norm(self.stem, arrays, "conv1/7x7_s2")
        for stage in (2, 3, 4, 5):
            for number, block in enumerate(self.get_submodule(f"stage{stage}").children(), 1):
                _fill_block(block, arrays, f"conv{stage}_{number}_")


def _stage(inputs: int, width: int, blocks: int, *, stride: int, squeeze: bool) -> nn.Sequential:
    stage = nn.Sequential()
    for number in range(1, blocks + 1):
        first = number == 1
        block = Bottleneck(inputs if first else 4 * width, width, 4 * width, stride if first else 1, squeeze=squeeze)
        stage.add_module(f"block{number}", block)
    return stage


def _fill_block(block: nn.Module, arrays: NamedArrays, prefix: str) -> None:
    layers = dict(block.named_children())
    for ours, theirs in _KERAS_CONVOLUTIONS.items():
        if isinstance(layers[ours], ConvNorm):
            _fill_conv_norm(layers[ours], arrays, prefix + theirs)
    for ours, theirs in _KERAS_SQUEEZES.items():
        if ours in layers:
            arrays.fill(layers[ours].weight, f"{prefix}{theirs}/kernel")
            arrays.fill(layers[ours].bias, f"{prefix}{theirs}/bias")


def _fill_conv_norm(layer: ConvNorm, arrays: NamedArrays, name: str) -> None:
    arrays.fill(layer.conv.weight, f"{name}/kernel")
    for ours, theirs in _KERAS_NORM.items():
        arrays.fill(getattr(layer.bn, ours), f"{name}/bn/{theirs}")
