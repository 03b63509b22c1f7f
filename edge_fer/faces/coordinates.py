"""Faces from the pixels of one picture to those of another: scaled, or turned.

Whole coordinates are the centres of pixels (OpenCV's convention).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from math import nan

import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.boxes import Boxes, corners_of
from edge_fer.types import Box, Expression, Face, Image, Landmarks, Point

UNMEASURED = Landmarks(*[Point(nan, nan)] * 5)
"""Landmarks that nobody has looked for yet."""


def to_faces(
    boxes: Boxes,
    scores: NDArray[np.floating],
    landmarks: NDArray[np.float32] | None,
    expressions: Iterable[Expression | None] = repeat(None),
    landmarks_lags_ns: Iterable[int] = repeat(0),
) -> tuple[Face, ...]:
    """Records from arrays.

    Args:
        boxes: `(n, 4)` float32: left, top, right and bottom side, pixels.
        scores: `(n,)` float, 0..1.
        landmarks: `(n, 5, 2)` float32: x and y of each, in the order of `Landmarks`, pixels; None: `UNMEASURED`.
        expressions: what each shows, n or more.
        landmarks_lags_ns: see `Face`, n or more.
    """
    places = (
        repeat(UNMEASURED, len(boxes))
        if landmarks is None
        else [Landmarks(*map(Point._make, points)) for points in landmarks.tolist()]
    )
    rows = zip(boxes.tolist(), scores.tolist(), places, strict=True)
    return tuple(
        Face(Box(left, top, right - left, bottom - top), score, place, expression, lag_ns)
        for ((left, top, right, bottom), score, place), expression, lag_ns in zip(
            rows, expressions, landmarks_lags_ns, strict=False
        )
    )


def scale_faces(faces: Sequence[Face], small: Image, image: Image) -> tuple[Face, ...]:
    """Faces of a smaller copy of a picture, in pixels of the picture.

    Args:
        faces: the faces, in pixels of `small`.
        small: `(height, width, 3)` uint8; only its size is used.
        image: `(height, width, 3)` uint8; only its size is used.
    """
    ratio = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], np.float32)

    def scale(points: NDArray[np.float32]) -> NDArray[np.float32]:
        return (points + 0.5) * ratio - 0.5

    corners = scale(corners_of([face.box for face in faces]).reshape(-1, 2, 2)).reshape(-1, 4)
    return to_faces(corners, _scores(faces), scale(_landmarks(faces)), _expressions(faces), _lags_ns(faces))


def turn_faces(faces: Sequence[Face], transform: NDArray[np.float64]) -> tuple[Face, ...]:
    """Faces after a rotation and a shift: a box keeps its size and stays upright, the landmarks turn.

    Args:
        faces: the faces, in pixels.
        transform: `(2, 3)` float64, a rotation and a shift.
    """

    def turn(points: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(points @ transform[:, :2].T + transform[:, 2], np.float32)

    corners = corners_of([face.box for face in faces])
    middles = turn(np.asarray((corners[:, :2] + corners[:, 2:]) / 2, np.float32))
    halves = (corners[:, 2:] - corners[:, :2]) / 2
    turned: Boxes = np.hstack([middles - halves, middles + halves])
    return to_faces(turned, _scores(faces), turn(_landmarks(faces)), _expressions(faces), _lags_ns(faces))


def _scores(faces: Sequence[Face]) -> NDArray[np.float64]:
    return np.array([face.score for face in faces])


def _expressions(faces: Sequence[Face]) -> list[Expression | None]:
    return [face.expression for face in faces]


def _lags_ns(faces: Sequence[Face]) -> list[int]:
    return [face.landmarks_lag_ns for face in faces]


def _landmarks(faces: Sequence[Face]) -> NDArray[np.float32]:
    return np.array([face.landmarks.points for face in faces], np.float32).reshape(-1, 5, 2)
