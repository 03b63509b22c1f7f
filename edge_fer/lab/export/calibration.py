"""Faces that the ranges of a quantized classifier are measured on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.faces.detectors import open_detector
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.datasets.dataset import Dataset, Split, read_picture
from edge_fer.lab.datasets.pasting import through_runtime
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.datasets.tracks import every_frame
from edge_fer.settings import DetectSettings
from edge_fer.types import Image

FEWEST = 32
"""Ranges of fewer faces than these are chance."""

_GREY_WITHIN = 8
"""How far red, green and blue of a grey picture may be apart, after the rounding of compression, 0..255."""


def check_faces(dataset: Dataset, crop: CropSpec, count: int) -> None:
    """Whether `calibration_faces` may find what it needs.

    Raises:
        SourceError: when the faces were cut in another way, or there are fewer than `FEWEST` training faces (or
            `count`, where that is less).
    """
    if dataset.crop not in (None, crop):
        raise SourceError(
            f"expected faces in {dataset.name} cut as the classifier takes them ({crop}), found {dataset.crop}; "
            "cut them again with `edge-fer lab faces`"
        )
    _check_count(dataset, len(every_frame(dataset.only(Split.TRAINING))), count)


def _check_count(dataset: Dataset, found: int, count: int, more: str = "") -> None:
    least = min(count, FEWEST)
    if found < least:
        raise SourceError(
            f"expected at least {least} training faces in {dataset.name} to calibrate on, found {found}{more}; "
            "add photos"
        )


def calibration_faces(
    dataset: Dataset,
    store: ModelStore,
    crop: CropSpec,
    *,
    count: int,
    size: int,
    seed: int,
    colour: bool = False,
    progress: Progress = silent,
) -> NDArray[np.uint8]:
    """Faces of the training split, of clips all frames, as the runtime would hand them to the classifier.

    Faces that `edge-fer lab faces` cut are that already. Others are pasted into pictures, found by the runtime's
    detector and cut out by its alignment.

    Args:
        dataset: the faces.
        store: the folder with the detector's networks.
        crop: how faces are cut out for the classifier.
        count: how many faces at most; all that there are, where there are fewer.
        size: side of the faces, pixels.
        seed: seed of the draw.
        colour: whether they are read in colour.
        progress: called after each face with how many there are, of how many at most.

    Returns:
        uint8: `(n, size, size)`, grey, or `(n, size, size, 3)`, BGR.

    Raises:
        SourceError: when a face cannot be read, all were cut in another way, or there are fewer than `FEWEST`
            (or `count`, where that is less).
    """
    check_faces(dataset, crop, count)
    training = every_frame(dataset.only(Split.TRAINING))
    order = np.random.default_rng(seed).permutation(len(training))
    drawn = (read_picture(training.images, int(index), colour=colour) for index in order)
    faces = _found(drawn, store, crop, size, colour) if dataset.crop is None else (resize(face, size) for face in drawn)
    taken, most = [], min(count, len(training))
    for face in islice(faces, count):
        taken.append(face)
        progress(len(taken), most)
    _check_count(dataset, len(taken), count, " that the detector finds" if dataset.crop is None else "")
    return np.stack(taken)


def coloured(faces: NDArray[np.uint8]) -> int | None:
    """How many faces have any colour; None for faces that were read in grey.

    Args:
        faces: uint8: `(n, size, size)`, grey, or `(n, size, size, 3)`, BGR.
    """
    if faces.ndim < 4:
        return None
    spread = faces.max(axis=3) - faces.min(axis=3)
    return int((spread.reshape(len(faces), -1).max(axis=1) > _GREY_WITHIN).sum())


def _found(faces: Iterable[Image], store: ModelStore, crop: CropSpec, size: int, colour: bool) -> Iterator[Image]:
    """Those that the runtime finds in a picture, as it cuts them out."""
    with open_detector(DetectSettings(), store) as detector:
        for face in through_runtime(faces, detector, crop, size, colour=colour):
            if face is not None:
                yield face
