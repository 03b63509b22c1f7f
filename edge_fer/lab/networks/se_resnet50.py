"""SE-ResNet-50: Hu et al., "Squeeze-and-Excitation Networks", 2018; as in Cao et al., "VGGFace2", 2018."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_fer.lab.networks.base import GREY_MEAN, GREY_STD, INPUT_SIZE
from edge_fer.types import LABELS

BATCH_NORM_EPSILON = 1e-5
WIDTHS = tuple(eighths / 8 for eighths in range(1, 9))
"""Of SE-ResNet-50's trunk: every layer keeps a multiple of 8 channels, as accelerators like them."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Where published SE-ResNet-50s differ from each other.

    Attributes:
        epsilon: of the batch norms.
        stem_padding: zeros before and after, in each direction, around the first convolution.
        pool_padding: zeros around the max-pool.
        channel_means: subtracted from pixels of 0..255, one for each input channel, as the network's
            first operation; null where the input arrives standardised.
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


class SEResNet50(nn.Module):
    """SE-ResNet-50 as in VGGFace2, with seven expressions on top.

    The input is `(n, 3, 224, 224)` float32: the grey crop, (pixel / 255 - mean) / std, on three
    equal channels. The output is `(n, 7)` logits in the order of `LABELS`.

    Attributes:
        variant: a key of `VARIANTS`.
        resolution: side at which the face is looked at, pixels; an input that is a whole number of times
            as large is averaged down first. Training sets it to the size of its last stage: a face that was
            never seen in more detail is not worth four times the work.
        width: factor on the channels of the trunk, one of `WIDTHS`: a narrower network is a quicker one.
    """

    def __init__(self, variant: str = "edge-fer", resolution: int = INPUT_SIZE, width: float = 1.0) -> None:
        super().__init__()
        self.variant = variant
        self.resolution = resolution
        self.width = width
        widths = [round(channels * width) for channels in (64, 128, 256, 512)]
        differences = VARIANTS[variant]
        self.stem = ConvNorm(3, widths[0], 7, stride=2)
        self.stage2 = _stage(widths[0], widths[0], blocks=3, stride=1)
        self.stage3 = _stage(4 * widths[0], widths[1], blocks=4, stride=2)
        self.stage4 = _stage(4 * widths[1], widths[2], blocks=6, stride=2)
        self.stage5 = _stage(4 * widths[2], widths[3], blocks=3, stride=2)
        self.dense1000 = nn.Linear(4 * widths[3], 1000)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(1000, len(LABELS))
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

    def forward(self, image: Tensor) -> Tensor:
        """Run the network."""
        return self.head(self.dropout(self.features(image)))

    def features(self, image: Tensor) -> Tensor:
        """The `(n, 1000)` activations that the head reads."""
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
        pooled = features.mean(dim=(2, 3), keepdim=True).flatten(1)
        return torch.relu(self.dense1000(pooled))


def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    stage = nn.Sequential()
    for number in range(1, blocks + 1):
        first = number == 1
        block = Bottleneck(inputs if first else 4 * width, width, 4 * width, stride if first else 1)
        stage.add_module(f"block{number}", block)
    return stage
