"""The picture that is searched for faces: a smaller copy of the frame, turned back where the camera banks.

MTCNN finds faces that are about upright. The turned picture is a square as wide as the long side of the smaller copy,
so that its shape does not depend on the angle; the corners of the frame may lie outside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.coordinates import scale_faces, turn_faces
from edge_fer.faces.resize import fit
from edge_fer.types import Face, Image

_GREY = (127, 127, 127)  # of what lies outside the frame: about 0 to the networks


@dataclass(frozen=True, slots=True)
class SearchView:
    """The part of a frame that is searched, and the way back to the frame.

    Attributes:
        image: `(height, width, 3)` uint8, BGR: what is searched.
        small: `(height, width, 3)` uint8, BGR: the smaller copy of the frame, not turned.
        to_small: `(2, 3)` float64, from pixels of `image` to those of `small`; None where both are the same picture.
    """

    image: Image
    small: Image
    to_small: NDArray[np.float64] | None

    def to_frame(self, faces: tuple[Face, ...], frame: Image) -> tuple[Face, ...]:
        """Faces in pixels of the frame.

        Args:
            faces: the faces, in pixels of `image`.
            frame: `(height, width, 3)` uint8, BGR: the frame that the view was made of.

        Returns:
            The same faces. A box keeps its size and stays upright in the frame; the landmarks turn.
        """
        if self.to_small is not None:
            faces = turn_faces(faces, self.to_small)
        return faces if self.small.shape == frame.shape else scale_faces(faces, self.small, frame)


def derotate(frame: Image, size: int, roll_deg: float | None) -> SearchView:
    """Make the picture that is searched.

    Args:
        frame: `(height, width, 3)` uint8, BGR.
        size: longest allowed side of the smaller copy, pixels.
        roll_deg: how far the camera is turned clockwise about its line of sight, as seen from behind it, degrees;
            None where it never is, and the view keeps the frame's proportions.
    """
    small = fit(frame, size)
    if roll_deg is None:
        return SearchView(small, small, None)
    height, width = small.shape[:2]
    side = max(height, width)
    to_view = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -roll_deg, 1.0)
    to_view[:, 2] += (side - width) / 2, (side - height) / 2
    image = cv2.warpAffine(small, to_view, (side, side), flags=cv2.INTER_LINEAR, borderValue=_GREY)
    return SearchView(np.asarray(image, np.uint8), small, np.asarray(cv2.invertAffineTransform(to_view), np.float64))
