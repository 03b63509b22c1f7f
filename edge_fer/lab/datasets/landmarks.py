"""The 68 landmarks of a data set's faces, found once and kept in a file; and the hand-made features that hold them.

The features are those of the faces as they are, never of varied ones: as EmoNet (Kumari) computed them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.expression.face_features import FEATURES, LANDMARKS, face_features, small_face
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.datasets.npz import read_npz
from edge_fer.lab.files import replacing
from edge_fer.types import Image

FindLandmarks = Callable[[Image], NDArray[np.floating]]
"""From a `(48, 48)` uint8 grey face to `(68, 2)`, x and y in pixels of it, in the order of iBUG 300-W."""

_SAMPLED = 64  # pictures that tell a data set from another
_LEAST_DEVIATION = 1e-3  # of a feature: one that hardly varies would be noise


def find_landmarks(dataset: Dataset, find: FindLandmarks, progress: Progress = silent) -> NDArray[np.float32]:
    """Landmarks of the training and validation faces; test faces are not looked at.

    Args:
        dataset: the faces.
        find: finds those of one.
        progress: called after each face.

    Returns:
        `(n, 68, 2)`, pixels of the face at 48x48; not a number for a test face.

    Raises:
        SourceError: when a face cannot be read.
    """
    points = np.full((len(dataset), LANDMARKS, 2), np.nan, np.float32)
    chosen = np.flatnonzero(dataset.splits != Split.TEST)
    for done, index in enumerate(chosen.tolist(), 1):
        points[index] = find(small_face(dataset.images[index]))
        progress(done, len(chosen))
    return points


def save_landmarks(path: Path, dataset: Dataset, points: NDArray[np.float32], by: str) -> None:
    """Write what `with_landmarks` reads.

    Args:
        path: an .npz file.
        dataset: the faces.
        points: their landmarks, see `find_landmarks`.
        by: what found them, in words.

    Raises:
        OutputError: when the file cannot be written.
    """
    with replacing(path) as file:
        np.savez(file, points=points, data=np.array(digest_of(dataset)), by=np.array(by))


def with_landmarks(dataset: Dataset, path: Path) -> Dataset:
    """A data set with landmarks from a file.

    Raises:
        SourceError: when the file is damaged, or of other faces.
    """
    wrong = f"expected what `edge-fer lab landmarks` writes in {path}, found"
    arrays = read_npz(path, "what `edge-fer lab landmarks` writes", ("points", "data"))
    points, digest = arrays["points"], str(arrays["data"])
    if points.shape[1:] != (LANDMARKS, 2):
        raise SourceError(f"{wrong} points of shape {points.shape}")
    if len(points) != len(dataset) or digest != digest_of(dataset):
        raise SourceError(
            f"expected landmarks of {dataset.name} in {path}, found those of other faces; run `edge-fer lab landmarks` "
            "for these"
        )
    return replace(dataset, landmarks=points.astype(np.float32))


def hand_made(dataset: Dataset, indices: Sequence[int]) -> NDArray[np.float32]:
    """Hand-made features of some faces, as they are.

    Args:
        dataset: the faces, with landmarks.
        indices: which.

    Returns:
        `(n, 2728)`, see `edge_fer.expression.face_features`.

    Raises:
        SourceError: when one has no landmarks, or cannot be read.
    """
    rows = np.empty((len(indices), FEATURES), np.float32)
    for row, index in zip(rows, indices, strict=True):
        points = None if dataset.landmarks is None else dataset.landmarks[index]
        if points is None or not np.isfinite(points).all():
            raise SourceError(f"expected landmarks of face {index} of {dataset.name}, found none; give --landmarks")
        row[:] = face_features(small_face(dataset.images[index]), points)
    return rows


def feature_statistics(
    dataset: Dataset, progress: Progress = silent
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each hand-made feature over faces, `(2728,)` each.

    Raises:
        SourceError: when there are no faces, or one has no landmarks.
    """
    if not len(dataset):
        raise SourceError(f"expected training faces in {dataset.name}, found none; check its splits")
    total, squares = np.zeros(FEATURES), np.zeros(FEATURES)
    for index in range(len(dataset)):
        row = hand_made(dataset, [index])[0].astype(np.float64)
        total += row
        squares += row**2
        progress(index + 1, len(dataset))
    mean = total / len(dataset)
    deviation = np.sqrt(np.maximum(squares / len(dataset) - mean**2, _LEAST_DEVIATION**2))
    return mean.astype(np.float32), deviation.astype(np.float32)


def digest_of(dataset: Dataset) -> str:
    """What tells a data set from another: labels, splits, and some of the pictures."""
    digest = hashlib.sha256(dataset.labels.tobytes() + dataset.splits.tobytes())
    readable = np.flatnonzero(dataset.splits != Split.TEST)
    for place in np.linspace(0, len(readable) - 1, min(_SAMPLED, len(readable)), dtype=np.int64).tolist():
        digest.update(np.ascontiguousarray(dataset.images[int(readable[place])]).tobytes())
    return digest.hexdigest()
