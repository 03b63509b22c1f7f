"""What a detector is worth: average precision, of each label and of faces whatever they show.

Average precision is the area under the curve of precision over recall, each precision raised to the best at the same
or a higher recall (all-point interpolation, as PASCAL VOC since 2010). A face counts as found where a box overlaps it
by at least half (IoU); a second box on it is wrong. A box on a face without label is neither right nor wrong, whether
labels count or faces alone: such faces are hidden, or somebody was not sure that they are faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.boxes import Boxes, area, overlap
from edge_fer.lab.datasets.detection.pictures import UNLABELLED
from edge_fer.types import LABELS

LEAST_IOU = 0.5
SIZES = (0.0, 32.0, 64.0, 128.0, float("inf"))
"""Bounds of the sizes of faces that are measured apart: the square root of a box's area, pixels."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The faces of a picture.

    Attributes:
        boxes: `(n, 4)` float32: left, top, right and bottom side, pixels.
        labels: `(n,)` indices into `LABELS`, or `UNLABELLED`.
    """

    boxes: Boxes
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector found in a picture.

    Attributes:
        boxes: `(n, 4)` float32: left, top, right and bottom side, pixels.
        faces: `(n,)`, the score that there is a face, 0..1.
        labels: `(n, 7)`, the score of each label: that there is a face, and that it shows this; 0..1.
    """

    boxes: Boxes
    faces: NDArray[np.floating]
    labels: NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """Figures of a detector on a set; all 0..1, and not a number where there is nothing to find.

    Attributes:
        labels: `(7,)`, average precision of each label.
        faces: average precision of faces, whatever they show.
        by_size: the same of faces between the bounds of `SIZES`.
        from_32: the same of faces of at least 32 pixels.
    """

    labels: tuple[float, ...]
    faces: float
    by_size: tuple[float, ...]
    from_32: float

    @property
    def mean(self) -> float:
        """The mean over the labels that there are (mAP)."""
        known = [value for value in self.labels if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")


def score_detections(truths: Sequence[Truth], found: Sequence[Found]) -> DetectionScore:
    """Measure a detector.

    Args:
        truths: the faces of each picture.
        found: what was found in each, in the same order.
    """
    return DetectionScore(
        labels=tuple(_of_label(truths, found, label) for label in range(len(LABELS))),
        faces=face_precision(truths, found),
        by_size=tuple(face_precision(truths, found, *bounds) for bounds in pairwise(SIZES)),
        from_32=face_precision(truths, found, SIZES[1]),
    )


def face_precision(
    truths: Sequence[Truth], found: Sequence[Found], smallest: float = 0.0, largest: float = float("inf")
) -> float:
    """Average precision of faces, whatever they show.

    Args:
        truths: the faces of each picture.
        found: what was found in each.
        smallest: smaller faces are neither right nor wrong, nor are boxes of another size on nothing; pixels.
        largest: the same for faces of this size and larger ones.
    """
    marks, total = [], 0
    for truth, boxes in zip(truths, found, strict=True):
        wanted = _within(truth.boxes, smallest, largest) & (truth.labels != UNLABELLED)
        counts = _within(boxes.boxes, smallest, largest)
        marks.append(_match(truth.boxes[wanted], truth.boxes[~wanted], boxes.boxes, boxes.faces, counts))
        total += int(wanted.sum())
    return _average_precision(marks, total)


def recall_and_false_faces(truths: Sequence[Truth], found: Sequence[Found], score: float) -> tuple[float, float]:
    """The part of the faces that is found, and wrong boxes a picture, with boxes of at least a score."""
    right = wrong = total = 0
    for truth, boxes in zip(truths, found, strict=True):
        kept, labelled = boxes.faces >= score, truth.labels != UNLABELLED
        marks = _match(truth.boxes[labelled], truth.boxes[~labelled], boxes.boxes[kept], boxes.faces[kept])
        right += int(marks.right.sum())
        wrong += int((~marks.right).sum())
        total += int(labelled.sum())
    return right / max(total, 1), wrong / max(len(truths), 1)


@dataclass(frozen=True, slots=True)
class _Marks:
    """Scores of the boxes of a picture that count, and whether each is right."""

    scores: NDArray[np.floating]
    right: NDArray[np.bool_]


def _of_label(truths: Sequence[Truth], found: Sequence[Found], label: int) -> float:
    marks = [
        _match(
            truth.boxes[truth.labels == label],
            truth.boxes[truth.labels == UNLABELLED],
            boxes.boxes,
            boxes.labels[:, label],
        )
        for truth, boxes in zip(truths, found, strict=True)
    ]
    return _average_precision(marks, sum(int((truth.labels == label).sum()) for truth in truths))


def _match(
    wanted: Boxes,
    ignored: Boxes,
    boxes: Boxes,
    scores: NDArray[np.floating],
    counts: NDArray[np.bool_] | None = None,
) -> _Marks:
    """Give each box, the best first, the face that it overlaps most.

    Args:
        wanted: the faces.
        ignored: faces on which a box is neither right nor wrong.
        boxes: what was found.
        scores: of each box; those of 0 claim nothing.
        counts: boxes that are wrong where no face is; None: all.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > 0]
    on_faces, on_ignored = overlap(boxes[order], wanted), overlap(boxes[order], ignored)
    taken = np.zeros(len(wanted), bool)
    right, kept = np.zeros(len(order), bool), np.ones(len(order), bool)
    for place in range(len(order)):
        best = int(on_faces[place].argmax()) if len(wanted) else -1
        if best >= 0 and on_faces[place, best] >= LEAST_IOU:
            right[place], taken[best] = not taken[best], True
        elif (on_ignored[place] >= LEAST_IOU).any() or (counts is not None and not counts[order[place]]):
            kept[place] = False
    return _Marks(scores[order][kept], right[kept])


def _average_precision(marks: Sequence[_Marks], total: int) -> float:
    if not total:
        return float("nan")
    scores = np.concatenate([mark.scores for mark in marks])
    right = np.concatenate([mark.right for mark in marks])[np.argsort(-scores, kind="stable")]
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[right].sum() / total)


def _within(boxes: Boxes, smallest: float, largest: float) -> NDArray[np.bool_]:
    sides = np.sqrt(area(boxes))
    return (sides >= smallest) & (sides < largest)
