"""Faces cut out with their eyes level, as the classifier's training faces were cut.

The transform is a similarity (rotation, one scale, shift) that brings the two eyes onto a
horizontal line, at the place and distance that the model's `CropSpec` states (the eye-line
alignment of the thesis's deployment pipeline, section 3.5).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.common.picture import enlarge
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.types import Image, Landmarks, Point, Quadrilateral

Transform = NDArray[np.float64]

_OVERSAMPLING = 2
"""Samples in each direction for each pixel of the crop. A bilinear sample is blurred the more, the farther it lies from
a pixel's centre: with one sample for a pixel, a shift by a tenth of a pixel changed 5 % of the labels."""


def align(image: Image, landmarks: Landmarks, crop: CropSpec, size: int, *, colour: bool = False) -> Image:
    """Cut out one face, and enlarge it to a network's input.

    Args:
        image: see `sample`.
        landmarks: see `sample`.
        crop: see `sample`.
        size: side of the result, pixels.
        colour: whether to keep the colours.

    Returns:
        uint8: `(size, size)` grey, or `(size, size, 3)` BGR. Where the crop leaves the picture its edge is repeated.
    """
    return enlarge(sample(image, landmarks, crop, size, colour=colour), size)


def sample(image: Image, landmarks: Landmarks, crop: CropSpec, size: int, *, colour: bool = False) -> Image:
    """Cut out one face as finely as the training faces were, or as the network's input where that is coarser.

    The face is sampled twice as finely as the training faces were (`crop.detail`) and averaged down to that, so that
    sharp and coarse cameras give the network the same detail.

    Args:
        image: `(height, width, 3)` uint8, BGR.
        landmarks: the face's landmarks, in pixels of `image`.
        crop: where the eyes go, and how fine the face is sampled.
        size: side of the network's input, pixels.
        colour: whether to keep the colours.

    Returns:
        uint8: `(side, side)` grey, or `(side, side, 3)` BGR, for the `sampled_side` of the two.
    """
    sampled = crop.sampled_side(size)
    fine = _OVERSAMPLING * sampled
    patch, transform = _shrunk_patch(image, eye_transform(landmarks, crop, fine), fine)
    face = cv2.warpAffine(
        patch if colour else cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY),
        transform[:2],
        (fine, fine),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    face = cv2.resize(face, (sampled, sampled), interpolation=cv2.INTER_AREA)
    return np.asarray(face, dtype=np.uint8)


def eye_transform(landmarks: Landmarks, crop: CropSpec, size: int) -> Transform:
    """The similarity from the picture to a crop.

    Args:
        landmarks: the face's landmarks, in pixels.
        crop: where the eyes go.
        size: side of the crop, pixels.

    Returns:
        `(3, 3)` float64 that maps homogeneous picture coordinates to those of the crop.
        Pixel centres have whole coordinates in both (OpenCV's convention).
    """
    dx = landmarks.right_eye.x - landmarks.left_eye.x
    dy = landmarks.right_eye.y - landmarks.left_eye.y
    if math.hypot(dx, dy) < 1:  # eyes closer than a pixel carry no direction
        dx, dy = 1.0, 0.0
    distance = math.hypot(dx, dy)
    scale = crop.eye_distance * size / distance
    cos, sin = scale * dx / distance, scale * dy / distance
    middle_x = (landmarks.left_eye.x + landmarks.right_eye.x) / 2
    middle_y = (landmarks.left_eye.y + landmarks.right_eye.y) / 2
    to_x, to_y = size / 2 - 0.5, crop.eye_y * size - 0.5
    return np.array(
        [
            [cos, sin, to_x - cos * middle_x - sin * middle_y],
            [-sin, cos, to_y + sin * middle_x - cos * middle_y],
            [0.0, 0.0, 1.0],
        ]
    )


def places_in_picture(places: Quadrilateral, landmarks: Landmarks, crop: CropSpec) -> Quadrilateral:
    """Where places in a crop lie in the picture that it was cut from.

    Args:
        places: as parts of the crop's side.
        landmarks: the face's landmarks, in pixels of the picture.
        crop: how the crop was cut out.
    """
    to_picture = np.linalg.inv(eye_transform(landmarks, crop, 1))
    # Of a crop of one pixel that pixel's centre is 0, and its edges are -0.5 and 0.5.
    found = (to_picture @ (place.x - 0.5, place.y - 0.5, 1.0) for place in places)
    first, second, third, fourth = (Point(float(x), float(y)) for x, y, _ in found)
    return first, second, third, fourth


def _shrunk_patch(image: Image, transform: Transform, size: int) -> tuple[Image, Transform]:
    """The part of the picture that the crop covers, shrunk by averaging areas where the crop is coarser.

    Sampling a large face at a few points would alias; averaging areas first does not.

    Returns:
        The part, and the transform from its pixels to the crop.
    """
    height, width = image.shape[:2]
    corners = np.linalg.inv(transform) @ np.array([[-1, size, size, -1], [-1, -1, size, size], [1, 1, 1, 1]])
    left, right = _clipped_span(corners[0], width)
    top, bottom = _clipped_span(corners[1], height)
    patch = image[top:bottom, left:right]
    scale = math.hypot(transform[0, 0], transform[0, 1])
    shrunk_width, shrunk_height = _at_least_one(patch.shape[1] * scale), _at_least_one(patch.shape[0] * scale)
    factor_x, factor_y = 1.0, 1.0
    if scale < 1:
        factor_x, factor_y = shrunk_width / patch.shape[1], shrunk_height / patch.shape[0]
        patch = np.asarray(
            cv2.resize(patch, (shrunk_width, shrunk_height), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    to_picture = np.array(
        [
            [1 / factor_x, 0.0, left + 0.5 / factor_x - 0.5],
            [0.0, 1 / factor_y, top + 0.5 / factor_y - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )
    return patch, transform @ to_picture


def _clipped_span(positions: NDArray[np.float64], limit: int) -> tuple[int, int]:
    """First and one-past-last pixel that cover the positions; at least one pixel within 0..limit."""
    first = min(max(math.floor(positions.min()), 0), limit - 1)
    last = min(max(math.ceil(positions.max()) + 1, first + 1), limit)
    return first, last


def _at_least_one(size: float) -> int:
    return max(round(size), 1)
