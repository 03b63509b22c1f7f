"""Data set crops put back into pictures, so that the runtime can find, align and classify them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.align import align
from edge_fer.faces.detectors import Detector
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.lab.datasets.pictures import resize
from edge_fer.types import Face, Image, Point

FRAME = 600
SMALLEST, LARGEST = 140, 300  # sides of a pasted crop, pixels


@dataclass(frozen=True, slots=True)
class Pasted:
    """A picture with one face.

    Attributes:
        frame: `(size, size, 3)` uint8, BGR.
        middle: middle of the crop in it, pixels.
    """

    frame: Image
    middle: Point


def paste(face: Image, seed: int, *, side: int | None = None, size: int = FRAME) -> Pasted:
    """Put a crop somewhere into a plain picture, at some size.

    Args:
        face: uint8: `(height, width)`, grey, or `(height, width, 3)`, BGR; about square.
        seed: seed of its place and size.
        side: side of the crop in the picture, pixels; None: drawn.
        size: side of the picture, pixels; more than the crop's side and 20 all around.
    """
    rng = np.random.default_rng(seed)
    side = int(rng.integers(SMALLEST, LARGEST)) if side is None else side
    left, top = (int(value) for value in rng.integers(20, size - side - 20, 2))
    bgr = face if face.ndim == 3 else np.repeat(face[:, :, np.newaxis], 3, axis=2)
    frame = np.full((size, size, 3), bgr.mean(axis=(0, 1)).astype(int), np.uint8)
    frame[top : top + side, left : left + side] = resize(bgr, side)
    return Pasted(frame, Point(left + side / 2, top + side / 2))


def find(detector: Detector, pasted: Pasted) -> Face | None:
    """The face whose box holds the middle of what was pasted; None where it is not found."""
    for face in detector.find(pasted.frame):
        box, middle = face.box, pasted.middle
        if box.x < middle.x < box.x + box.width and box.y < middle.y < box.y + box.height:
            return face
    return None


def locate(faces: Iterable[Image], detector: Detector) -> Iterator[tuple[Image, Face | None]]:
    """Each face pasted into a frame, and where the runtime finds it.

    Args:
        faces: crops, grey or BGR, see `paste`; the place and size of each follow from its position.
        detector: the runtime's detector.

    Yields:
        The frame, `(600, 600, 3)` uint8, BGR, and the face in it; None where it was not found.
    """
    for seed, pixels in enumerate(faces):
        pasted = paste(pixels, seed)
        yield pasted.frame, find(detector, pasted)


def through_runtime(
    faces: Iterable[Image], detector: Detector, crop: CropSpec, size: int, *, colour: bool = False
) -> Iterator[NDArray[np.uint8] | None]:
    """Each face as the runtime would hand it to the classifier.

    Args:
        faces: see `locate`.
        detector: the runtime's detector.
        crop: how faces are cut out for the classifier.
        size: side of its input, pixels.
        colour: whether it takes colour.

    Yields:
        uint8: `(size, size)`, grey, or `(size, size, 3)`, BGR; None for a face that was not found.
    """
    for frame, face in locate(faces, detector):
        yield None if face is None else align(frame, face.landmarks, crop, size, colour=colour)
