"""The region of a face that a classifier of two networks reads: the first says where it is, the second sees it alone.

Jaderberg et al., "Spatial Transformer Networks", 2015.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, ModelError
from edge_fer.inference import Backend
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.inference.preprocessor import Preprocessor
from edge_fer.inference.quantization import dequantize
from edge_fer.types import Image, Point, Quadrilateral

Theta = NDArray[np.float64]
"""`(2, 3)`: the affine map from places in the region to places in the face, -1..1 from edge to edge, x before y."""

_CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


class RegionFinder(Closeable):
    """The network that says where to look.

    Args:
        model: the classifier's name in the manifest, for messages.
        picture: what the manifest says of its input.
        backend: the device; closed with the finder.

    Raises:
        ModelError: when the network's input or output is not what it should be.
    """

    def __init__(self, model: str, picture: InputSpec, backend: Backend) -> None:
        self._model, self._backend = model, backend
        self._preprocessor = Preprocessor(model, picture, backend.inputs)
        shapes = [output.shape for output in backend.outputs]
        if shapes != [(1, 6)]:
            raise ModelError(
                f"expected the network of `{model}` that finds the region to give (1, 6), found "
                f"{', '.join(map(str, shapes))}; correct `region` in its manifest entry"
            )

    def find(self, face: Image) -> Theta:
        """Where to look in a face.

        Args:
            face: see `ExpressionModel.classify`.

        Raises:
            BackendError: when the device fails, or gives what is no place.
        """
        (answer,) = self._backend.infer(self._preprocessor.prepare(face))
        theta = dequantize(answer, self._backend.outputs[0]).reshape(2, 3)
        if not np.isfinite(theta).all():
            raise BackendError(
                f"expected numbers from the network of `{self._model}` that finds the region, found {theta.tolist()}; "
                "the file is broken"
            )
        return theta

    def close(self) -> None:
        """Release the device."""
        self._backend.close()


def cut_out(face: Image, theta: Theta, picture: InputSpec) -> Image:
    """The region as a picture of the shape of the face, bilinear; what lies outside of the face is its mean.

    Args:
        face: uint8, `(size, size)` grey, or `(size, size, 3)` BGR.
        theta: where to look.
        picture: the network's input, which states the mean.
    """
    size = face.shape[0]
    middle = (size - 1) / 2
    matrix = np.column_stack([theta[:, :2], size / 2 * theta[:, 2] + middle - middle * theta[:, :2].sum(axis=1)])
    means = picture.means[::-1] if picture.colour == "rgb" else picture.means
    region = cv2.warpAffine(
        face,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=[round(255 * mean) for mean in means],
    )
    return np.asarray(region, np.uint8)


def corners_of(theta: Theta) -> Quadrilateral:
    """The corners of the region, parts of the face's side: that which becomes the top left one, then clockwise."""
    places = (theta @ (x, y, 1.0) for x, y in _CORNERS)
    first, second, third, fourth = (Point((float(x) + 1) / 2, (float(y) + 1) / 2) for x, y in places)
    return first, second, third, fourth
