"""Faces in memory, to calibrate on and to be measured on. torch is not needed here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.lab.datasets.ferplus import load_npz
from edge_fer.lab.datasets.records import Usage

__all__ = ["Faces", "Usage", "enlarge", "load_ferplus"]


@dataclass(frozen=True, slots=True)
class Faces:
    """Labelled faces.

    Attributes:
        images: `(n, 48, 48)` uint8, grey.
        labels: `(n,)` indices into `LABELS`: where most annotators agree.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def load_ferplus(path: Path, usage: Usage) -> Faces:
    """The faces of one split that count under FER+'s convention.

    Args:
        path: see `load_npz`.
        usage: the split.

    Raises:
        SourceError: when the file cannot be read or lacks an array.
    """
    dataset = load_npz(path)
    chosen = dataset.usage == usage
    images = np.asarray(dataset.images)
    return Faces(images[chosen], dataset.labels[chosen])


def enlarge(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Data set crops at the network's size, as in training.

    Args:
        images: `(n, height, width)` uint8, grey.
        size: side in pixels.

    Returns:
        `(n, size, size)` uint8, bicubic.
    """
    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC) for image in images])
