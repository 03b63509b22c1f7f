"""FER+'s crops in one file, and beside them the same faces as the runtime finds, aligns and samples them.

A network that only learned a data set's own crops is a little wrong on those that the runtime's detector and alignment
hand it; one that only learned these lacks the faces that are not found. Each crop is pasted into a plain frame at some
size, found there, and cut out again. Test faces are left out: they are for measuring.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import OutputError, SourceError
from edge_fer.faces.align import align
from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Progress, Reporter
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.datasets.ferplus import read_arrays
from edge_fer.lab.datasets.pasting import find, paste
from edge_fer.lab.datasets.pictures import resize
from edge_fer.lab.files import replacing
from edge_fer.settings import DetectSettings
from edge_fer.types import Image, Landmarks, Point

FRAME = 360
SMALLEST, LARGEST = 96, 260
"""Sides of the frame and of the crops in it, pixels: faces from about the least that are found to a near one."""


@dataclass(frozen=True, slots=True)
class Recut:
    """What became of a file of crops.

    Attributes:
        faces: how many there were, test faces left out.
        found: how many of them the runtime found.
    """

    faces: int
    found: int


def recut_file(
    source: Path, out: Path, store: ModelStore, classifier: str, detail: int | None, report: Reporter
) -> Recut:
    """Write a file of crops as they are and as the runtime cuts them.

    Args:
        source: an .npz file as `ferplus.load_npz` takes it.
        out: the new file, of the same arrays and `cut`: 1 where the runtime cut the face, else 0. Pictures have the
            side at which the classifier samples faces.
        store: the folder of the detector's networks and of the classifier.
        classifier: whose crop is used.
        detail: instead of the crop's own, pixels.
        report: receives lines and progress.

    Raises:
        SourceError: when the file cannot be read, lacks an array, or shows no face that is found.
        OutputError: when `out` is the source, or cannot be written.
        ModelError: when there is no such classifier.
        BackendError: when the detector fails.
    """
    if out.suffix != ".npz" or out.resolve() == source.resolve():
        raise OutputError(f"expected another .npz file for the faces of {source}, found {out}; name a new one")
    arrays = read_arrays(source)
    kept = arrays["usage"] != Split.TEST
    arrays = {name: values[kept] for name, values in arrays.items()}
    crop = store.spec(classifier, "classify").crop
    crop = crop if detail is None else crop.model_copy(update={"detail": detail})
    with report.step(f"cutting {kept.sum()} faces") as progress, open_detector(DetectSettings(), store) as detector:
        cut, found = recut(arrays["x"], detector, crop, progress)
    if not found.any():
        raise SourceError(f"expected faces that the detector finds in {source}, found none in {len(found)}; check it")
    own = np.stack([resize(face, crop.detail) for face in arrays["x"]])
    both: dict[str, Any] = {name: np.concatenate([values, values[found]]) for name, values in arrays.items()}
    both["x"] = np.concatenate([own, cut[found]])
    both["cut"] = np.repeat(np.array([0, 1], np.uint8), [len(own), int(found.sum())])
    with replacing(out) as file:
        np.savez_compressed(file, **both)
    report.say(f"{len(own)} faces as they are and {found.sum()} as the runtime cuts them, {crop.detail} pixels: {out}")
    return Recut(len(own), int(found.sum()))


def recut(
    faces: NDArray[np.uint8], detector: Detector, crop: CropSpec, progress: Progress
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Faces as the runtime cuts them.

    Args:
        faces: `(n, height, width)`, grey.
        detector: the runtime's detector.
        crop: how faces are cut out.
        progress: called after each face.

    Returns:
        `(n, detail, detail)`, grey, and `(n,)`, which of them were found; the others are black.
    """
    cut = np.zeros((len(faces), crop.detail, crop.detail), np.uint8)
    found = np.zeros(len(faces), np.bool_)
    for number, face in enumerate(faces):
        aligned = _through_runtime(face, number, detector, crop)
        if aligned is not None:
            cut[number], found[number] = aligned, True
        progress(number + 1, len(faces))
    return cut, found


def _through_runtime(face: Image, seed: int, detector: Detector, crop: CropSpec) -> Image | None:
    side = int(np.random.default_rng([seed, 1]).integers(SMALLEST, LARGEST))
    pasted = paste(face, seed, side=side, size=FRAME)
    there = find(detector, pasted)
    if there is None:
        return None
    # Out of the crop, not the frame: where the crop ends its edge goes on, which is less of a sign than a plain wall.
    left, top = round(pasted.middle.x - side / 2), round(pasted.middle.y - side / 2)
    inside = np.ascontiguousarray(pasted.frame[top : top + side, left : left + side])
    moved = Landmarks(*(Point(point.x - left, point.y - top) for point in there.landmarks.points))
    return align(inside, moved, crop, crop.detail)
