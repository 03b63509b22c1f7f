"""Where the runtime's detector finds the face in each crop of a data set: found once and kept in a file.

A network that finds faces should give the boxes that MTCNN would give, since what follows is made for these.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.faces.boxes import overlap
from edge_fer.faces.detectors import Detector
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.datasets.landmarks import digest_of
from edge_fer.lab.datasets.npz import read_npz
from edge_fer.lab.files import replacing
from edge_fer.settings import DetectSettings
from edge_fer.types import Image

SETTINGS = DetectSettings(min_face=60)
"""Of the detector: a face fills its crop, so that small ones need not be looked for."""

_SIDE, _BORDER = 120, 60  # of an enlarged crop, and of what is put around it, pixels
_USUAL = np.array([0.1, 0.0, 0.9, 1.0], np.float32)
"""The box where none was found: about the median of those that MTCNN finds in FER+'s crops (29,389 of 31,753)."""

_LEAST_LIKE = 0.4
"""Overlap (IoU) with the usual box below which a box is that of something else: FER+'s crops are all cut alike."""


def find_boxes(dataset: Dataset, detector: Detector, progress: Progress = silent) -> NDArray[np.float32]:
    """Find the faces of the training and validation crops; test faces are not looked at.

    Args:
        dataset: the crops.
        detector: the runtime's detector, with `SETTINGS`.
        progress: called after each face.

    Returns:
        `(n, 4)`: left, top, right and bottom side in sides of the crop; not a number where no face was found.

    Raises:
        SourceError: when a crop cannot be read.
    """
    boxes = np.full((len(dataset), 4), np.nan, np.float32)
    chosen = np.flatnonzero(dataset.splits != Split.TEST)
    for done, index in enumerate(chosen.tolist(), 1):
        boxes[index] = _find(dataset.images[index], detector)
        progress(done, len(chosen))
    return boxes


def save_boxes(path: Path, dataset: Dataset, boxes: NDArray[np.float32]) -> None:
    """Write what `load_boxes` reads.

    Args:
        path: an .npz file.
        dataset: the crops.
        boxes: see `find_boxes`.

    Raises:
        OutputError: when the file cannot be written.
    """
    with replacing(path) as file:
        np.savez(file, boxes=boxes, data=np.array(digest_of(dataset)))


def load_boxes(path: Path, dataset: Dataset) -> NDArray[np.float32]:
    """The box of each crop of a data set.

    Returns:
        `(n, 4)` in sides of the crop; the usual box where none was found, or one that is not of the crop's face.

    Raises:
        SourceError: when the file is damaged, or of other crops.
    """
    wrong = f"expected what `edge-fer lab face-boxes` writes in {path}, found"
    arrays = read_npz(path, "what `edge-fer lab face-boxes` writes", ("boxes", "data"))
    boxes, digest = arrays["boxes"].astype(np.float32), str(arrays["data"])
    if boxes.shape != (len(dataset), 4) or digest != digest_of(dataset):
        raise SourceError(f"{wrong} those of other faces; run `edge-fer lab face-boxes` for {dataset.name}")
    boxes = np.nan_to_num(boxes)
    return np.where(overlap(boxes, _USUAL[None]) >= _LEAST_LIKE, boxes, _USUAL)


def usual_boxes(count: int) -> NDArray[np.float32]:
    """The box of so many crops in which no face was looked for."""
    return np.tile(_USUAL, (count, 1))


def _find(crop: Image, detector: Detector) -> tuple[float, float, float, float] | float:
    """The best face whose box holds the middle of the crop; not a number where there is none."""
    enlarged = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    mean = float(crop.mean())
    framed = cv2.copyMakeBorder(enlarged, *(_BORDER,) * 4, cv2.BORDER_CONSTANT, value=mean)
    middle = _BORDER + _SIDE / 2
    for face in detector.find(np.asarray(cv2.cvtColor(framed, cv2.COLOR_GRAY2BGR), np.uint8)):
        box = face.box
        if box.x < middle < box.x + box.width and box.y < middle < box.y + box.height:
            left, top = (box.x - _BORDER) / _SIDE, (box.y - _BORDER) / _SIDE
            return left, top, left + box.width / _SIDE, top + box.height / _SIDE
    return float("nan")
