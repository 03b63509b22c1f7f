"""Pictures of a banking camera, turned back for the search: MTCNN finds faces that are about upright.

The turned picture is a square as wide as the long side of what is searched, so that its shape does not follow the
angle; what lies in the corners of the frame falls out of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.boxes import corners_of
from edge_fer.faces.detectors.mtcnn.detector import enlarged, to_faces
from edge_fer.faces.detectors.mtcnn.pyramid import Array
from edge_fer.faces.resize import fit
from edge_fer.types import Face, Image

_GREY = (127, 127, 127)  # what lies outside the frame, to the networks: nothing


@dataclass(frozen=True, slots=True)
class View:
    """What is searched of a frame.

    Attributes:
        image: `(height, width, 3)` uint8, BGR.
        small: the frame at this scale, not turned.
        to_small: `(2, 3)` float64, from `image` to `small`; null where they are one.
    """

    image: Image
    small: Image
    to_small: NDArray[np.float64] | None

    def in_frame(self, faces: tuple[Face, ...], frame: Image) -> tuple[Face, ...]:
        """Faces found in the view, in pixels of its frame.

        A box keeps its size and stays upright in the frame; the landmarks turn.
        """
        if self.to_small is not None:
            faces = _turned(faces, self.to_small)
        return faces if self.small.shape == frame.shape else enlarged(faces, self.small, frame)


def view(frame: Image, size: int, roll_deg: float | None) -> View:
    """Look at a frame.

    Args:
        frame: `(height, width, 3)` uint8, BGR.
        size: long side at most, pixels.
        roll_deg: how far the camera is turned clockwise about its line of sight, as seen from behind it; null: it
            never is, and the view has the frame's shape.
    """
    small = fit(frame, size)
    if roll_deg is None:
        return View(small, small, None)
    height, width = small.shape[:2]
    side = max(height, width)
    to_view = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -roll_deg, 1.0)
    to_view[:, 2] += (side - width) / 2, (side - height) / 2
    image = cv2.warpAffine(small, to_view, (side, side), flags=cv2.INTER_LINEAR, borderValue=_GREY)
    return View(np.asarray(image, np.uint8), small, np.asarray(cv2.invertAffineTransform(to_view), np.float64))


def _turned(faces: tuple[Face, ...], transform: NDArray[np.float64]) -> tuple[Face, ...]:
    """Faces after a rotation and a shift."""

    def place(points: Array) -> Array:
        return np.asarray(points @ transform[:, :2].T + transform[:, 2], np.float32)

    corners = corners_of([face.box for face in faces])
    middles = place(np.asarray((corners[:, :2] + corners[:, 2:]) / 2, np.float32))
    halves = (corners[:, 2:] - corners[:, :2]) / 2
    landmarks = place(np.array([face.landmarks.points for face in faces], np.float32).reshape(-1, 5, 2))
    scores = np.array([face.score for face in faces])
    return to_faces(np.hstack([middles - halves, middles + halves]), scores, landmarks)
