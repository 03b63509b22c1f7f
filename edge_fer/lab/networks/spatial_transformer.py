"""Networks that first say which part of a picture to look at, and then look at that part alone.

Jaderberg et al., "Spatial Transformer Networks", 2015.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from edge_fer.lab.networks.base import Network


class SpatialTransformer(Network):
    """A network of two parts with a sampler between them.

    A subclass gives `theta`, what `region_features` makes of the part of the picture that it selects, and the head.
    """

    def theta(self, image: Tensor) -> Tensor:
        """Where to look.

        Args:
            image: `(n, channels, side, side)` float32, as `input` says.

        Returns:
            `(n, 6)`: the affine map from places in the region to places in the picture, its two rows one after the
            other. Places are -1..1 from edge to edge, x before y; the identity is (1, 0, 0, 0, 1, 0).
        """
        raise NotImplementedError

    def region_features(self, region: Tensor) -> Tensor:
        """The `(n, d)` activations that the head reads.

        Args:
            region: of the shape of the picture, from `sample`.
        """
        raise NotImplementedError

    def features(self, image: Tensor) -> Tensor:
        """See `Network.features`."""
        return self.region_features(sample(image, self.theta(image)))


def sample(image: Tensor, theta: Tensor) -> Tensor:
    """The region of a picture as a picture of its own, of the same shape: bilinear, 0 outside of the picture.

    Args:
        image: `(n, channels, side, side)` float32.
        theta: see `SpatialTransformer.theta`.
    """
    grid = functional.affine_grid(theta.reshape(-1, 2, 3), list(image.shape), align_corners=False)
    return functional.grid_sample(image, grid, "bilinear", "zeros", align_corners=False)
