"""SE-ResNet-50: Hu et al., "Squeeze-and-Excitation Networks", 2018; as in Cao et al., "VGGFace2", 2018."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from typing_extensions import Self

from edge_fer.errors import ConfigError
from edge_fer.lab.arrays import NamedArrays, read_keras
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network, NetworkInput, new_head

BATCH_NORM_EPSILON = 1e-5
GREY_MEAN, GREY_STD = 0.508, 0.255
"""Mean and standard deviation of the pixels of grey faces, 0..1."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Where published SE-ResNet-50s differ from each other.

    Attributes:
        epsilon: the epsilon of the batch norms.
        stem_padding: zeros before and behind the map, in each direction, at the first convolution.
        pool_padding: zeros around the map at the max-pool.
        channel_means: subtracted from pixels of 0..255, one for each input channel, as the network's
            first operation; None where the input arrives standardised.
    """

    epsilon: float = BATCH_NORM_EPSILON
    stem_padding: tuple[int, int] = (3, 3)
    pool_padding: int = 1
    channel_means: tuple[float, float, float] | None = None


VARIANTS = {
    "edge-fer": Variant(),
    # 'same' padding of TensorFlow puts the odd zero behind, for an even input size; the channels are BGR.
    "keras-vggface": Variant(1e-4, (2, 3), 0, (91.4953, 103.8827, 131.0912)),
}


class ConvNorm(nn.Sequential):
    """A convolution without bias and its batch norm; padded so that stride 1 keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPSILON)


class Bottleneck(nn.Module):
    """1x1 (with the stride), 3x3, 1x1; squeeze-and-excitation on that, before the addition."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, reduction: int = 16) -> None:
        super().__init__()
        self.reduce = ConvNorm(inputs, width, 1, stride)
        self.conv3x3 = ConvNorm(width, width, 3)
        self.expand = ConvNorm(width, outputs, 1)
        self.se_down = nn.Conv2d(outputs, outputs // reduction, 1)
        self.se_up = nn.Conv2d(outputs // reduction, outputs, 1)
        self.shortcut = ConvNorm(inputs, outputs, 1, stride) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Run the block."""
        shortcut = self.shortcut(features)
        features = torch.relu(self.reduce(features))
        features = torch.relu(self.conv3x3(features))
        features = self.expand(features)
        squeezed = features.mean(dim=(2, 3), keepdim=True)
        excited = torch.sigmoid(self.se_up(torch.relu(self.se_down(squeezed))))
        return torch.relu(features * excited + shortcut)


class SEResNet50(Network):
    """SE-ResNet-50 as in VGGFace2; the head reads a dense layer of 1000 units.

    The picture that it takes has a whole number of times as many pixels a side as the resolution, up to 224, and is
    averaged down first: 224 for 112, 160 for 80. A face that was never sampled more finely is not worth four times
    the work.

    Args:
        width: see `Network`; every layer keeps a multiple of 8 channels, which accelerators compute best.
        resolution: see `Network`.
        colour: see `Network`.
        variant: a key of `VARIANTS`.
    """

    PURPOSE = "the published network of the thesis, and the default of recipes; narrower, it fits an Edge TPU"
    PUBLICATION = "SE-ResNet-50 (Hu et al., 2018, in the variant of VGGFace2, Cao et al., 2018)"
    INPUT = NetworkInput(side=224, colour="grey", mean=(GREY_MEAN,) * 3, std=(GREY_STD,) * 3)
    TOP = ("dense1000", "dropout", "head")
    CAM_LAYERS = ("stage2", "stage3", "stage4", "stage5")
    # A variant with channel means or other paddings has others.
    OPERATORS = MappingProxyType({"ADD": 16, "LOGISTIC": 16, "MAX_POOL_2D": 1, "MEAN": 17, "MUL": 16, "PAD": 2})
    SETTINGS = (*Network.SETTINGS, "variant")

    def __init__(
        self,
        width: float = 1.0,
        resolution: int | None = None,
        colour: Colour | None = None,
        variant: str = "edge-fer",
    ) -> None:
        super().__init__(width, resolution, colour)
        if variant not in VARIANTS:
            raise ConfigError(f"expected a variant of SE-ResNet-50 ({', '.join(VARIANTS)}), found `{variant}`")
        self.variant = variant
        widths = [round(channels * width) for channels in (64, 128, 256, 512)]
        differences = VARIANTS[variant]
        self.stem = ConvNorm(3, widths[0], 7, stride=2)
        self.stage2 = _stage(widths[0], widths[0], blocks=3, stride=1)
        self.stage3 = _stage(4 * widths[0], widths[1], blocks=4, stride=2)
        self.stage4 = _stage(4 * widths[1], widths[2], blocks=6, stride=2)
        self.stage5 = _stage(4 * widths[2], widths[3], blocks=3, stride=2)
        self.dense1000 = nn.Linear(4 * widths[3], 1000)
        self.head = new_head(1000)
        self._pool_padding = (differences.pool_padding,) * 4
        self._stem_padding: tuple[int, ...] = ()
        if len(set(differences.stem_padding)) > 1:
            self.stem.conv.padding = (0, 0)
            self._stem_padding = differences.stem_padding * 2
        self._means: Tensor | None
        means = differences.channel_means
        pixels = None if means is None else torch.tensor(means).reshape(1, 3, 1, 1)
        self.register_buffer("_means", pixels, persistent=False)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = differences.epsilon

    @property
    def side(self) -> int:
        """Side of the picture that the deployed network takes, pixels."""
        return self.resolution * max(1, self.INPUT.side // self.resolution)

    @property
    def pooled_size(self) -> int:
        """How many features `pooled` gives."""
        return self.dense1000.in_features

    def features(self, image: Tensor) -> Tensor:
        """The `(n, 1000)` activations of the dense layer."""
        return self.after_pool(self.pooled(image))

    def pooled(self, image: Tensor) -> Tensor:
        """The `(n, 2048 * width)` means of the last map's channels."""
        shrink = image.shape[-1] // self.resolution
        if shrink > 1 and image.shape[-1] % self.resolution == 0:
            image = nn.functional.avg_pool2d(image, shrink)
        if self._means is not None:
            image = (image * GREY_STD + GREY_MEAN) * 255 - self._means
        if self._stem_padding:
            image = nn.functional.pad(image, self._stem_padding)
        features = torch.relu(self.stem(image))
        if any(self._pool_padding):
            # Zeros, not -inf, around the pool: the same after a ReLU, and the Edge TPU has no PADV2.
            features = nn.functional.pad(features, self._pool_padding)
        features = nn.functional.max_pool2d(features, 3, 2)
        for stage in (self.stage2, self.stage3, self.stage4, self.stage5):
            features = stage(features)
        # keepdim, then flatten: without it the converter would transpose before the mean.
        return features.mean(dim=(2, 3), keepdim=True).flatten(1)

    def after_pool(self, pooled: Tensor) -> Tensor:
        """The `(n, 1000)` activations of the dense layer."""
        return torch.relu(self.dense1000(pooled))

    def first_cell(self, layer: str) -> float:
        """See `Network.first_cell`; only the stem and the pool of `keras-vggface` differ from what it supposes."""
        differences = VARIANTS[self.variant]
        return float(3 - differences.stem_padding[0] + 2 * (1 - differences.pool_padding))

    def scale_blocks(self, scale: float) -> None:
        """Set the last batch-norm scale of each block."""
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, Bottleneck):
                    layer.expand.bn.weight.fill_(scale)

    @classmethod
    def load_foreign(cls, path: Path) -> Self:
        """The network with the trunk of keras-vggface's SENet-50, and a new top.

        Cao et al., "VGGFace2: A dataset for recognising faces across pose and age", 2018, in the Keras files
        `rcmalli_vggface_tf_(notop_)senet50.h5`. The classifier of persons in them is left out.

        Args:
            path: the .h5 file, with or without its own top.

        Raises:
            ModelError: when the file cannot be read, or an array is missing or has another shape.
        """
        net = cls(variant="keras-vggface")
        arrays = NamedArrays(read_keras(path, _KERAS), path, _KERAS)
        _fill_conv_norm(net.stem, arrays, "conv1/7x7_s2")
        for stage in (2, 3, 4, 5):
            for number, block in enumerate(net.get_submodule(f"stage{stage}").children(), 1):
                _fill_block(block, arrays, f"conv{stage}_{number}_")
        return net.eval()


_KERAS = "keras-vggface's SENet-50"
_KERAS_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_KERAS_CONVOLUTIONS = {"reduce": "1x1_reduce", "conv3x3": "3x3", "expand": "1x1_increase", "shortcut": "1x1_proj"}
_KERAS_SQUEEZES = {"se_down": "1x1_down", "se_up": "1x1_up"}


def _fill_block(block: nn.Module, arrays: NamedArrays, prefix: str) -> None:
    for ours, theirs in _KERAS_CONVOLUTIONS.items():
        layer = block.get_submodule(ours)
        if isinstance(layer, ConvNorm):
            _fill_conv_norm(layer, arrays, prefix + theirs)
    for ours, theirs in _KERAS_SQUEEZES.items():
        layer = block.get_submodule(ours)
        arrays.fill(layer.weight, f"{prefix}{theirs}/kernel")
        arrays.fill(layer.bias, f"{prefix}{theirs}/bias")


def _fill_conv_norm(layer: ConvNorm, arrays: NamedArrays, name: str) -> None:
    arrays.fill(layer.conv.weight, f"{name}/kernel")
    for ours, theirs in _KERAS_NORM.items():
        arrays.fill(getattr(layer.bn, ours), f"{name}/bn/{theirs}")


def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    stage = nn.Sequential()
    for number in range(1, blocks + 1):
        first = number == 1
        block = Bottleneck(inputs if first else 4 * width, width, 4 * width, stride if first else 1)
        stage.add_module(f"block{number}", block)
    return stage
