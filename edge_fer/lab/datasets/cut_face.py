"""One face out of one photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_fer.faces.align import align
from edge_fer.faces.detectors import Detector
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.types import Face, Image, Landmarks, Point

_FRAMED, _BORDER = 300, 150  # long side of a photo in a border, and how wide that is, pixels


@dataclass(frozen=True, slots=True)
class Cut:
    """What became of a photo.

    Attributes:
        face: uint8: `(size, size)`, grey, or `(size, size, 3)`, BGR.
        faces: how many there were.
        bordered: whether they were found only with a border around the photo.
    """

    face: Image
    faces: int
    bordered: bool


def cut_face(detector: Detector, photo: Image, crop: CropSpec, size: int, *, colour: bool = False) -> Cut | None:
    """Cut out the largest face.

    Args:
        detector: the runtime's detector.
        photo: `(height, width, 3)` uint8, BGR.
        crop: how faces are cut out for the classifier.
        size: side of its input, pixels.
        colour: whether it takes colour.

    Returns:
        None where no face is found, even in a border, which faces that fill their picture need.
    """
    found: Sequence[Face] = detector.find(photo)
    bordered = not found
    if bordered:
        found = _find_in_border(detector, photo)
    if not found:
        return None
    largest = max(found, key=lambda face: face.box.width * face.box.height)
    return Cut(align(photo, largest.landmarks, crop, size, colour=colour), len(found), bordered)


def _find_in_border(detector: Detector, photo: Image) -> list[Face]:
    """Faces of a photo brought to 300 pixels with a border of its mean colour; landmarks of the photo, boxes not."""
    scale = _FRAMED / max(photo.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    width, height = (max(1, round(side * scale)) for side in (photo.shape[1], photo.shape[0]))
    resized = cv2.resize(photo, (width, height), interpolation=how)
    mean = tuple(float(value) for value in photo.mean(axis=(0, 1)))
    framed = cv2.copyMakeBorder(resized, _BORDER, _BORDER, _BORDER, _BORDER, cv2.BORDER_CONSTANT, value=mean)
    across, down = photo.shape[1] / width, photo.shape[0] / height

    def to_photo(point: Point) -> Point:
        return Point((point.x - _BORDER + 0.5) * across - 0.5, (point.y - _BORDER + 0.5) * down - 0.5)

    return [
        Face(face.box, face.score, Landmarks(*map(to_photo, face.landmarks.points)))
        for face in detector.find(np.asarray(framed, np.uint8))
    ]


def largest_side(detector: Detector, photo: Image, size: int) -> float:
    """Side of the largest face in a photo when it is shrunk as a run shrinks it.

    Args:
        detector: finds small faces, too.
        photo: `(height, width, 3)` uint8, BGR.
        size: long side of the photo when it is shrunk, pixels.

    Returns:
        Pixels; 0 where there is no face.
    """
    scale = min(1.0, size / max(photo.shape[:2]))
    return max((max(face.box.width, face.box.height) * scale for face in detector.find(photo)), default=0.0)
