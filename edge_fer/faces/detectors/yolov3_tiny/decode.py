"""From the two maps of YOLOv3-tiny to boxes, the probability of a face in each, and the logits of its labels.

A cell (row j, column i) of a map of W x H cells gives for each of its three anchors tx, ty, tw, th, to, c0, c1, ...
(Redmon and Farhadi 2018):

    x = (sigmoid(tx) + i) / W          y = (sigmoid(ty) + j) / H           parts of the input's side
    width = anchor width * exp(tw)     height = anchor height * exp(th)    pixels of the input
    objectness = sigmoid(to)           class score = sigmoid(c)            score = objectness * class score
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.boxes import Boxes, suppress_greedily
from edge_fer.inference.manifest_detect import ANCHORS_EACH, BOX_VALUES, Anchor

Map = NDArray[np.floating]

_LARGEST_EXPONENT = 10.0  # of a side: 22,000 anchors, far beyond any picture, and no overflow
_MOST_CANDIDATES = 512  # boxes that are compared with each other, which bounds time and memory of a network gone wrong


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes that may hold a face, best objectness first.

    Attributes:
        boxes: `(n, 4)` float32: left, top, right and bottom side, pixels of the network's input.
        objectness: `(n,)` float32, 0..1.
        logits: `(n, labels)` float32, in the order of the network's labels.
    """

    boxes: Boxes
    objectness: NDArray[np.float32]
    logits: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> Detections:
        """Some of them, by their rows."""
        return Detections(self.boxes[rows], self.objectness[rows], self.logits[rows])

    @property
    def class_scores(self) -> NDArray[np.float32]:
        """`(n, labels)` float32, 0..1: objectness times the score of each class, as published."""
        return np.asarray(self.objectness[:, None] * sigmoid(self.logits), np.float32)


def decode(maps: Sequence[Map], anchors: Sequence[Anchor], size: int, above: float) -> Detections:
    """The boxes of all cells and anchors whose objectness is high enough; see the module.

    Args:
        maps: the two outputs, the finer grid first: `(1, rows, columns, 3 * (5 + labels))` float, real values.
        anchors: width and height of three boxes for each map, in their order, pixels of the input.
        size: side of the network's input, pixels.
        above: boxes with a higher objectness are kept, 0..1.

    Returns:
        The best of them, at most 512.
    """
    parts = [
        _decode_map(one, anchors[place * ANCHORS_EACH : (place + 1) * ANCHORS_EACH], size, above)
        for place, one in enumerate(maps)
    ]
    together = Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.objectness for part in parts]),
        np.concatenate([part.logits for part in parts]),
    )
    return together[np.argsort(-together.objectness, kind="stable")[:_MOST_CANDIDATES]]


def find_best(found: Detections, nms_iou: float, most: int | None = None) -> Detections:
    """Greedy non-maximum suppression by objectness, whatever the labels: a face has one box.

    Args:
        found: from `decode`.
        nms_iou: of two boxes that overlap by more than this (IoU) only the better one stays, 0..1.
        most: so many stay at most; None: all.
    """
    return found[suppress_greedily(found.boxes, found.objectness, nms_iou)[:most]]


def sigmoid(values: Map) -> Map:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)))


def _decode_map(values: Map, anchors: Sequence[Anchor], size: int, above: float) -> Detections:
    _, rows, columns, channels = values.shape
    cells = values.reshape(rows, columns, ANCHORS_EACH, channels // ANCHORS_EACH)
    objectness = sigmoid(cells[..., BOX_VALUES - 1])
    row, column, anchor = np.nonzero(objectness > above)
    kept = cells[row, column, anchor].astype(np.float64)
    grid = np.array([columns, rows])
    centres = (sigmoid(kept[:, :2]) + np.stack([column, row], axis=1)) / grid * size
    sides = np.array(anchors)[anchor] * np.exp(np.minimum(kept[:, 2:4], _LARGEST_EXPONENT))
    boxes = np.hstack([centres - sides / 2, centres + sides / 2])
    return Detections(
        boxes.astype(np.float32),
        objectness[row, column, anchor].astype(np.float32),
        kept[:, BOX_VALUES:].astype(np.float32),
    )
