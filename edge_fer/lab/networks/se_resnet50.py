"""SE-ResNet-50: Hu et al., "Squeeze-and-Excitation Networks", 2018; as in Cao et al., "VGGFace2", 2018."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from typing_extensions import Self

from edge_fer.errors import ConfigError
from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import Network, NetworkInput, new_head
from edge_fer.lab.networks.residual import GREY_MEAN, GREY_STD, ResidualNetwork


@dataclass(frozen=True, slots=True)
class Variant:
    """Where published SE-ResNet-50s differ from each other.

    Attributes:
        epsilon: the epsilon of the batch norms.
        keras: whether borders are those of keras-vggface; see `ResidualNetwork`.
        channel_means: subtracted from pixels of 0..255, one for each input channel, as the network's
            first operation; None where the input arrives standardised.
    """

    epsilon: float = 1e-5
    keras: bool = False
    channel_means: tuple[float, float, float] | None = None


VARIANTS = {
    "edge-fer": Variant(),
    "vggface2": Variant(1e-4, True, (131.0912, 103.8827, 91.4953)),
}


class SEResNet50(ResidualNetwork):
    """SE-ResNet-50 as in VGGFace2; the head reads a dense layer of 1000 units.

    The picture that it takes has a whole number of times as many pixels a side as the resolution, up to 224, and is
    averaged down first: 224 for 112, 160 for 80. A face that was never sampled more finely is not worth four times
    the work.

    Args:
        width: see `ResidualNetwork`.
        resolution: see `Network`.
        colour: see `Network`.
        variant: a key of `VARIANTS`.
    """

    PURPOSE = "the published network of the thesis, and the default of recipes; narrower, it fits an Edge TPU"
    PUBLICATION = "SE-ResNet-50 (Hu et al., 2018, in the variant of VGGFace2, Cao et al., 2018)"
    INPUT = NetworkInput(side=224, colour="grey", mean=(GREY_MEAN,) * 3, std=(GREY_STD,) * 3)
    TOP = ("dense1000", "dropout", "head")
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
        if variant not in VARIANTS:
            raise ConfigError(f"expected a variant of SE-ResNet-50 ({', '.join(VARIANTS)}), found `{variant}`")
        differences = VARIANTS[variant]
        super().__init__(width, resolution, colour, squeeze=True, keras=differences.keras, epsilon=differences.epsilon)
        self.variant = variant
        self.dense1000 = nn.Linear(self.trunk_size, 1000)
        self.head = new_head(1000)
        self._means: Tensor | None
        means = differences.channel_means
        pixels = None if means is None else torch.tensor(means).reshape(1, 3, 1, 1)
        self.register_buffer("_means", pixels, persistent=False)

    @property
    def side(self) -> int:
        """Side of the picture that the deployed network takes, pixels."""
        return self.resolution * max(1, self.INPUT.side // self.resolution)

    @property
    def pooled_size(self) -> int:
        """How many features `pooled` gives."""
        return self.trunk_size

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
        return self.trunk(image)

    def after_pool(self, pooled: Tensor) -> Tensor:
        """The `(n, 1000)` activations of the dense layer."""
        return torch.relu(self.dense1000(pooled))

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
        net = cls(variant="vggface2")
        net.fill_trunk(path, "keras-vggface's SENet-50")
        with torch.no_grad():
            net.stem.conv.weight.copy_(net.stem.conv.weight.flip(1))  # from BGR to RGB
        return net.eval()
