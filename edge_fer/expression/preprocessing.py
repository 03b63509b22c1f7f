"""Faces for a network that takes others than were cut out: as they were sampled, smaller, or in grey."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from edge_fer.inference import TensorSpec
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.types import AlignedFace, Image


def crop_tensor(spec: ClassifierSpec) -> TensorSpec:
    """What a device takes that enlarges and standardises faces itself, as one behind a network connection does.

    Args:
        spec: the network's manifest entry.

    Returns:
        uint8, `(side, side)` grey, or `(side, side, 3)` BGR: a face as it was sampled.
    """
    side = spec.crop.sampled_side(spec.input.size)
    shape = (side, side) if spec.input.colour == "grey" else (side, side, 3)
    return TensorSpec("face", shape, np.dtype(np.uint8))


class CropSampler:
    """Makes the input of such a device out of aligned faces.

    Args:
        side: side of what it takes, pixels.
    """

    def __init__(self, side: int) -> None:
        self._side = side

    def prepare(self, face: Image) -> Image:
        """A face as it was sampled; one that was enlarged already is averaged down, which comes near to that.

        Args:
            face: uint8, square.
        """
        if face.shape[0] == self._side:
            return face
        return np.asarray(cv2.resize(face, (self._side, self._side), interpolation=cv2.INTER_AREA), np.uint8)


def fit(face: AlignedFace, size: int, *, colour: bool) -> AlignedFace:
    """A face for a network that takes less: smaller pictures, or none in colour.

    Args:
        face: cut out for a network that takes at least as much.
        size: side of the network's input, pixels.
        colour: whether the network takes colour.
    """
    image = face.image
    if image.ndim == 3 and not colour:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    if image.shape[0] != size:
        image = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    return face if image is face.image else replace(face, image=image, sampled=None)
