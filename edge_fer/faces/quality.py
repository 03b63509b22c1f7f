"""How well a picture of a face can be read: its size, its blur, and the angles of the head."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.types import Face, Image, Landmarks, Quality

_SIDE = 64  # side that crops are resized to before blur is measured, pixels
_FACE = (slice(10, 62), slice(10, 54))  # its rows and columns that show brows to chin, without hair and background
_NOISE = 1.5  # standard deviation of the Gaussian that removes noise, which would be taken for detail, in these pixels

_DETAIL = 32.0  # eye distance beyond which the classifiers see no more, pixels
_SHARP = 0.022  # the edge width of a sharp face

_HEAD = np.array(
    [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.59, 0.57], [-0.39, 1.10, 0.07], [0.39, 1.10, 0.07]], dtype=np.float64
)
"""The five landmarks of an average head that faces the camera, in eye distances: x to the right, y down, z to
the camera. Middles of the eyelids (145, 159, 374, 386), nose tip (1) and mouth corners (61, 291) of MediaPipe's
canonical face model."""

_POSE = np.linalg.pinv(_HEAD - _HEAD.mean(axis=0))


def measure_quality(crop: Image, face: Face) -> Quality:
    """Measure the picture of one face.

    Args:
        crop: the aligned face, uint8: `(size, size)` grey, or `(size, size, 3)` BGR, which is measured in grey.
        face: the face that the crop shows, in pixels of the frame.
    """
    if crop.ndim == 3:
        crop = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.uint8)
    return of_landmarks(face.landmarks, edge_width(crop))


def of_landmarks(landmarks: Landmarks, blur: float) -> Quality:
    """The quality of a picture whose blur is known.

    Args:
        landmarks: of the face, in pixels of the frame.
        blur: see `Quality`.
    """
    left, right = landmarks.left_eye, landmarks.right_eye
    across, down = right.x - left.x, right.y - left.y
    yaw, pitch = head_pose(landmarks)
    return Quality(math.hypot(across, down), blur, yaw, pitch, math.degrees(math.atan2(down, across)))


def readability(quality: Quality) -> float:
    """How well a picture shows a face, to compare those of one face: large, sharp, and from the front; 0..1.

    Args:
        quality: of the picture.
    """
    size = min(quality.eye_distance / _DETAIL, 1.0)
    sharpness = _SHARP / max(quality.blur, _SHARP)
    front = max(math.cos(math.radians(quality.yaw)), 0.0) * max(math.cos(math.radians(quality.pitch)), 0.0)
    return size * sharpness * front


def edge_width(crop: Image) -> float:
    """The width of the edges in a face, in the direction in which they are widest: a measure of blur.

    Where a step was blurred by a Gaussian, the mean square of its slope is 2 s^2 times that of its curvature, for a
    standard deviation s, whatever its height: contrast cancels out. (Such a ratio of a signal to its derivative is the
    mobility of Hjorth 1970, EEG analysis based on time domain properties.) Motion blurs one direction only, so four
    directions are measured.

    Args:
        crop: `(size, size)` uint8, grey, aligned.

    Returns:
        The standard deviation of the blur as part of the crop's side, with the blur of the measurement itself: about
        0.022 for a sharp face, and about 0 where there are no edges.
    """
    # Taking single pixels undoes an enlargement of the crop; averaging them would blur it.
    sampled = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)[_FACE]
    steady = np.asarray(cv2.GaussianBlur(sampled.astype(np.float32), (0, 0), _NOISE), dtype=np.float32)
    twice = 2 * steady[1:-1, 1:-1]
    ends = (
        (steady[1:-1, :-2], steady[1:-1, 2:], 1),
        (steady[:-2, 1:-1], steady[2:, 1:-1], 1),
        (steady[:-2, :-2], steady[2:, 2:], 2),
        (steady[2:, :-2], steady[:-2, 2:], 2),
    )
    # The slope is half of b - a, and both it and the curvature are taken over a step of 1 or sqrt(2) pixels.
    variances = [square * _energy(b - a) / max(8 * _energy(a + b - twice), 1e-3) for a, b, square in ends]
    # A direction crosses edges at all angles: on average their squared width is 4/3 of what it is straight across.
    return math.sqrt(max(variances) * 3 / 4) / _SIDE


def head_pose(landmarks: Landmarks) -> tuple[float, float]:
    """The angles of a head, from the affine camera that maps an average head's landmarks to those that were found.

    The camera's rows by least squares, made unit vectors; their product is the line of sight (the first step of
    POSIT: DeMenthon and Davis 1995, Model-based object pose in 25 lines of code).

    Args:
        landmarks: the face's landmarks, pixels.

    Returns:
        Yaw, positive towards the right of the picture, and pitch, positive is down, in degrees, after the eyes were
        levelled. Both are rough: heads differ, and an open mouth lowers its corners. 0 for landmarks that coincide.
    """
    points = np.array(landmarks.points, dtype=np.float64)
    across, down = (_unit(axis) for axis in (_POSE @ (points - points.mean(axis=0))).T)
    nose_x, nose_y, nose_z = across[2], down[2], across[0] * down[1] - across[1] * down[0]
    cos, sin = _unit(points[1] - points[0])
    yaw = math.atan2(cos * nose_x + sin * nose_y, nose_z)
    pitch = math.atan2(cos * nose_y - sin * nose_x, nose_z)
    return math.degrees(yaw), math.degrees(pitch)


def _energy(values: NDArray[np.floating]) -> float:
    return float(np.vdot(values, values))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
