"""From the outputs of MTCNN's three networks to scores, corrected boxes and landmarks.

The arithmetic is that of the `mtcnn` package 1.0.0, which follows the Matlab original (Zhang et al. 2016): there boxes
include their last pixel.
"""

from __future__ import annotations

import numpy as np

from edge_fer.faces.boxes import Boxes, suppress
from edge_fer.faces.detectors.mtcnn.pyramid import CELL, STRIDE, Array

Outputs = dict[int, Array]
"""A network's outputs by their last dimension: 2 scores (no face, face), 4 box offsets, 10 landmark coordinates."""
CELL_BOX = np.array([1, 1, CELL, CELL], np.float32)
"""The box of P-Net's first cell; pixels are counted from 1, as in the Matlab original."""


def by_width(outputs: tuple[Array, ...]) -> Outputs:
    """A network's outputs by their last dimension, in whatever order the file has them."""
    return {array.shape[-1]: array for array in outputs}


def decode_proposals(outputs: Outputs, scale: float, threshold: float) -> tuple[Boxes, Array]:
    """The boxes that P-Net proposes on one level of the pyramid.

    Args:
        outputs: `(1, rows, columns, 2)` scores and `(1, rows, columns, 4)` offsets, float32.
        scale: the level's size relative to the picture.
        threshold: cells with a higher score are kept, 0..1.

    Returns:
        Boxes `(n, 4)` in pixels of the full picture and scores `(n,)`, float32, best score first.
    """
    faces = outputs[2][0, :, :, 1]
    rows, columns = np.nonzero(faces > threshold)
    scores = faces[rows, columns]
    corners = np.stack([columns, rows, columns, rows], axis=1).astype(np.float32) * STRIDE
    boxes = (corners + CELL_BOX + outputs[4][0, rows, columns] * (CELL - 1)) / np.float32(scale)
    kept = suppress(boxes, scores, 0.5)
    return boxes[kept], scores[kept]


def merge_proposals(found: list[tuple[Boxes, Array]]) -> Boxes:
    """The boxes of all levels after non-maximum suppression, `(n, 4)` float32, best score first."""
    boxes = np.concatenate([np.empty((0, 4), np.float32), *(boxes for boxes, _ in found)])
    scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in found)])
    return boxes[suppress(boxes, scores, 0.7)]


def decode_refined(outputs: Outputs, boxes: Boxes, threshold: float) -> Boxes:
    """The boxes that R-Net keeps and corrects; see `RefineNet.refine`."""
    scores = outputs[2][:, 1]
    passed = scores > threshold
    refined = _correct(boxes, outputs[4])[passed]
    return refined[suppress(refined, scores[passed], 0.7)]


def decode_faces(outputs: Outputs, boxes: Boxes, threshold: float) -> tuple[Boxes, Array, Array]:
    """The boxes, scores and landmarks that O-Net gives, after suppression; see `OutputNet.locate`."""
    corrected, scores, landmarks = correct_faces(outputs, boxes)
    passed = np.flatnonzero(scores > threshold)
    kept = passed[suppress(corrected[passed], scores[passed], 0.7, over="smaller")]
    return corrected[kept], scores[kept], landmarks[kept]


def correct_faces(outputs: Outputs, boxes: Boxes) -> tuple[Boxes, Array, Array]:
    """O-Net's corrected boxes, scores and landmarks for all of `boxes`, in their order; see `OutputNet.locate`."""
    sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
    relative = outputs[10].reshape(-1, 2, 5).transpose(0, 2, 1)
    landmarks = relative * sides + boxes[:, None, :2] - 1
    return _correct(boxes, outputs[4]), outputs[2][:, 1], landmarks


def _correct(boxes: Boxes, offsets: Array) -> Boxes:
    """Boxes moved by a network's offsets, `(n, 4)` float32, which are fractions of the boxes' sides."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    corrected: Boxes = boxes + offsets * np.hstack([sides, sides])
    return corrected
