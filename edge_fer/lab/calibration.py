"""Faces that the ranges of a quantized classifier are measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.detect import open_detector
from edge_fer.errors import SourceError
from edge_fer.lab.data import Usage, load_ferplus
from edge_fer.lab.evaluate import Progress, silent
from edge_fer.lab.pasting import through_runtime
from edge_fer.models import CropSpec, ModelStore
from edge_fer.settings import DetectSettings


def calibration_faces(
    path: Path, store: ModelStore, crop: CropSpec, *, count: int, size: int, seed: int, progress: Progress = silent
) -> NDArray[np.uint8]:
    """Faces of the training split that went through the runtime's own detector and alignment.

    Args:
        path: see `load_ferplus`.
        store: has the detector's networks.
        crop: of the classifier.
        count: how many.
        size: side in pixels.
        seed: of the draw.
        progress: told how many there are.

    Returns:
        `(count, size, size)` uint8, grey.

    Raises:
        SourceError: when the faces cannot be read, or too few of them are found.
    """
    faces = load_ferplus(path, Usage.TRAINING)
    drawn = faces.images[np.random.default_rng(seed).permutation(len(faces.images))]
    aligned: list[NDArray[np.uint8]] = []
    with open_detector(DetectSettings(), store) as detector:
        for face in through_runtime(drawn, detector, crop, size):
            if face is not None:
                aligned.append(face)
                progress(len(aligned), count)
            if len(aligned) == count:
                return np.stack(aligned)
    raise SourceError(f"expected {count} faces in {path} that the detector finds, found {len(aligned)}; ask for fewer")
