"""ResNet-50: He et al., "Deep Residual Learning for Image Recognition", 2016; as in Cao et al., "VGGFace2", 2018."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from torch import Tensor
from typing_extensions import Self

from edge_fer.lab.datasets.dataset import Colour
from edge_fer.lab.networks.base import NetworkInput, new_head, take_pixels
from edge_fer.lab.networks.residual import GREY_STD, ResidualNetwork

_MEANS = (131.0912, 103.8827, 91.4953)  # of red, green and blue over VGGFace2, 0..255


class ResNet50(ResidualNetwork):
    """ResNet-50 as in VGGFace2; the head reads the means of the last map, 2048 features at full width.

    EmoNet's second network: Kumari, "EmoNet: Facial Expression Recognition using Deep Learning Techniques". 197 pixels
    are the fewest whose last map has 7x7 places.

    Args:
        width: see `ResidualNetwork`.
        resolution: see `Network`.
        colour: see `Network`.
    """

    PURPOSE = "EmoNet's second network, whose published weights know faces; SE-ResNet-50 without its gates"
    PUBLICATION = "ResNet-50 (He et al., 2016, in the variant of VGGFace2, Cao et al., 2018)"
    OPERATORS = MappingProxyType({"ADD": 16, "MAX_POOL_2D": 1, "MEAN": 1})
    INPUT = NetworkInput(
        side=197,
        colour="grey",
        mean=(_MEANS[0] / 255, _MEANS[1] / 255, _MEANS[2] / 255),
        std=(GREY_STD,) * 3,
    )

    def __init__(self, width: float = 1.0, resolution: int | None = None, colour: Colour | None = None) -> None:
        super().__init__(width, resolution, colour, squeeze=False, keras=True, epsilon=1e-3)
        self.head = new_head(self.trunk_size)

    def features(self, image: Tensor) -> Tensor:
        """The `(n, 2048 * width)` means of the last map's channels."""
        return self.trunk(image)

    @classmethod
    def load_foreign(cls, path: Path) -> Self:
        """The network with the trunk of keras-vggface's ResNet-50, and a new head.

        Args:
            path: `rcmalli_vggface_tf_(notop_)resnet50.h5`, with or without its own top, which is left out.

        Raises:
            ModelError: when the file cannot be read, or an array is missing or has another shape.
        """
        net = cls()
        net.fill_trunk(path, "keras-vggface's ResNet-50")
        take_pixels(net.stem.conv, cls.INPUT)
        return net.eval()
