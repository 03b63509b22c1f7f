"""The 2,728 hand-made features of EmoNet: 68 landmarks and histograms of oriented gradients of a small face.

Kumari, "EmoNet", and the public script that it follows: the coordinates of 68 landmarks, then HOG in windows of 24
pixels every 6. Windows are cut off at the border, and each has its own gradients: 0 across its edges. Eight unsigned
orientations, cells of 8x8 pixels, each cell scaled to a sum of 1: as scikit-image's `hog` with blocks of one cell and
the norm L1. Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", 2005.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.types import Image

SIDE = 48
"""Side of the face that the features are of, pixels."""
LANDMARKS = 68
LANDMARK_FEATURES = 2 * LANDMARKS
HOG_FEATURES = 2592
FEATURES = LANDMARK_FEATURES + HOG_FEATURES

_WINDOW, _STEP, _CELL, _ORIENTATIONS = 24, 6, 8, 8
_EPSILON = 1e-5  # of the norm


def face_features(face: Image, landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """All features of a face.

    Args:
        face: `(48, 48)` uint8, grey; see `small_face`.
        landmarks: `(68, 2)`, x and y in pixels of it, in the order of iBUG 300-W.

    Returns:
        `(2728,)`: 136 coordinates, x and y in turns, pixels; then 2,592 of HOG, 0..1.
    """
    return np.concatenate([landmarks.reshape(LANDMARK_FEATURES), hog(face)], dtype=np.float32)


def small_face(face: Image) -> Image:
    """A face as the features are computed from it: `(48, 48)` uint8, grey.

    Args:
        face: uint8, square: grey, or BGR with three channels.
    """
    grey = face if face.ndim == 2 else np.asarray(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), np.uint8)
    if grey.shape == (SIDE, SIDE):
        return grey
    how = cv2.INTER_AREA if len(grey) > SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=how), np.uint8)


def hog(face: Image) -> NDArray[np.float64]:
    """Histograms of oriented gradients: of each window (rows of them from the top), of each cell in it, of eight.

    Args:
        face: `(48, 48)` uint8, grey.

    Returns:
        `(2592,)`, 0..1.
    """
    rows, inner = _cell_rows()
    orientations, magnitudes = _gradient_tables()
    pixels = face.astype(np.int16)
    down, right = np.zeros_like(pixels), np.zeros_like(pixels)
    down[1:-1] = pixels[2:] - pixels[:-2]
    right[:, 1:-1] = pixels[:, 2:] - pixels[:, :-2]
    grid = np.ix_(rows, rows)
    places = (down[grid] * inner[:, None] + 255) * np.intp(511) + (right[grid] * inner + 255)
    bins = _histogram_places() + orientations[places]
    sums = np.bincount(bins.ravel(), magnitudes[places].ravel(), minlength=HOG_FEATURES)
    cells = sums.reshape(-1, _ORIENTATIONS) / _CELL**2
    return np.asarray(cells / (cells.sum(axis=1, keepdims=True) + _EPSILON)).ravel()


def _window_sides() -> list[tuple[int, int]]:
    """First row of each window, and how many whole cells it holds from there; the same for columns."""
    return [(first, min(_WINDOW, SIDE - first) // _CELL) for first in range(0, SIDE, _STEP)]


@cache
def _cell_rows() -> tuple[NDArray[np.intp], NDArray[np.int16]]:
    """The rows of all cells, `(144,)`, window after window; and 0 for those on an edge of their window, else 1."""
    rows: list[int] = []
    inner: list[int] = []
    for first, cells in _window_sides():
        last = min(first + _WINDOW, SIDE) - 1
        inside = range(first, first + cells * _CELL)
        rows += inside
        inner += [int(first < row < last) for row in inside]
    return np.array(rows, np.intp), np.array(inner, np.int16)


@cache
def _histogram_places() -> NDArray[np.intp]:
    """For each pixel of each cell, `(144, 144)`, where the cell's histogram begins in the result."""
    sides, begins, place = _window_sides(), [], 0
    for _, high in sides:
        strip = np.empty((high, 0), np.intp)
        for _, wide in sides:
            cells = place + _ORIENTATIONS * np.arange(high * wide).reshape(high, wide)
            strip, place = np.hstack([strip, cells]), place + _ORIENTATIONS * cells.size
        begins.append(strip)
    return np.vstack(begins).repeat(_CELL, axis=0).repeat(_CELL, axis=1)


@cache
def _gradient_tables() -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Orientation, 0..7, and magnitude of every gradient; its place is 511 (down + 255) + right + 255."""
    differences = np.arange(-255.0, 256.0)
    down, right = np.meshgrid(differences, differences, indexing="ij")
    degrees = np.rad2deg(np.arctan2(down, right)) % 180
    orientations = (degrees // (180 / _ORIENTATIONS)).astype(np.intp)
    return orientations.ravel(), np.hypot(down, right).ravel()
