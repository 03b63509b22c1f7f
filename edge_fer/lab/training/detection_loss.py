"""The loss of YOLOv3-tiny, and which cell and anchor each face belongs to.

Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018: sum of squares on the place and the logarithm of the
size, in favour of small faces; binary cross-entropy on objectness and on each class. The box that belongs to a face is
that of the cell in which its middle lies, at the anchor most like it in size.

Unlike the published training, a face without label is no background: where one is, nothing is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_fer.inference.manifest_detect import ANCHORS_EACH, BOX_VALUES
from edge_fer.lab.datasets.detection.pictures import LabelledPicture
from edge_fer.lab.networks.yolov3_tiny import VALUES, Anchor
from edge_fer.types import LABELS

_FOUND_ANYWAY = 0.7
"""A box that overlaps a face by more than this (IoU) is not background, though another one belongs to the face."""


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of a batch of pictures, one row a face.

    Attributes:
        picture: `(n,)` int64, in which picture of the batch it is.
        boxes: `(n, 4)` float32: left, top, right and bottom side, pixels of the network's input.
        targets: `(n, 7)` float32, rows summing to 1; 0 for a face without label.
    """

    picture: Tensor
    boxes: Tensor
    targets: Tensor

    @property
    def labelled(self) -> Tensor:
        """`(n,)` bool, which have a label."""
        return self.targets.sum(dim=1) > 0

    def to(self, device: str) -> Faces:
        """The same on another device."""
        return Faces(self.picture.to(device), self.boxes.to(device), self.targets.to(device))


@dataclass(frozen=True, slots=True)
class LossParts:
    """The loss, a mean over the pictures of a batch, by what it is of."""

    boxes: Tensor
    objectness: Tensor
    classes: Tensor

    @property
    def total(self) -> Tensor:
        """The sum."""
        return self.boxes + self.objectness + self.classes


@dataclass(frozen=True, slots=True)
class _Assigned:
    """Where in a map the faces are that belong to it: index arrays, one entry a face, and which faces these are."""

    place: tuple[Tensor, Tensor, Tensor, Tensor]
    faces: Tensor
    anchors: Tensor


def faces_of(pictures: Sequence[LabelledPicture]) -> Faces:
    """The faces of pictures of the network's size, as the loss takes them."""
    counts = torch.tensor([len(picture.boxes) for picture in pictures])
    boxes = np.concatenate([picture.boxes for picture in pictures]).reshape(-1, 4)
    targets = np.concatenate([picture.targets for picture in pictures]).reshape(-1, len(LABELS))
    numbers = torch.repeat_interleave(torch.arange(len(pictures)), counts)
    return Faces(numbers, torch.from_numpy(boxes), torch.from_numpy(targets))


def detection_loss(maps: Sequence[Tensor], faces: Faces, anchors: Sequence[Anchor], side: int) -> LossParts:
    """The loss of a batch.

    Args:
        maps: the network's outputs, the finer one first: `(n, 36, rows, columns)`.
        faces: the faces of the batch.
        anchors: the network's, pixels of its input.
        side: side of its input, pixels.
    """
    cells = [_cells(values.float()) for values in maps]
    boxes = objectness = classes = cells[0].new_zeros(())
    for level, values in enumerate(cells):
        own = _assign(faces, anchors, level, values.shape[2:4], side)
        wanted = faces.boxes[own.faces]
        found = values[own.place]
        centre, size = _encode(wanted, own, values.shape[2:4], side)
        weight = 2 - (wanted[:, 2:] - wanted[:, :2]).prod(dim=1, keepdim=True) / side**2
        squares = (found[:, :2].sigmoid() - centre) ** 2 + (found[:, 2:4] - size) ** 2
        boxes = boxes + (weight * squares).sum()
        classes = classes + _cross_entropy(found[:, BOX_VALUES:], faces.targets[own.faces]).sum()
        is_face = torch.zeros_like(values[..., 0])
        is_face[own.place] = 1
        counts = _counts(values.detach(), faces, anchors[level * ANCHORS_EACH :][:ANCHORS_EACH], side)
        counts[own.place] = 1
        objectness = objectness + (_cross_entropy(values[..., BOX_VALUES - 1], is_face) * counts).sum()
    pictures = len(maps[0])
    return LossParts(boxes / pictures, objectness / pictures, classes / pictures)


def encode(faces: Faces, anchors: Sequence[Anchor], side: int, strides: Sequence[int]) -> list[NDArray[np.float32]]:
    """The maps of a network that finds exactly these faces, for one picture; the reverse of the runtime's `decode`.

    Args:
        faces: labelled faces of one picture.
        anchors: the network's, pixels of its input.
        side: side of its input, pixels.
        strides: pixels between cells of each output.

    Returns:
        `(1, rows, columns, 36)` for each output, as decoders take them.
    """
    maps = []
    for level, stride in enumerate(strides):
        grid = torch.Size((side // stride, side // stride))
        values = torch.full((1, ANCHORS_EACH, *grid, VALUES), -20.0)
        own = _assign(faces, anchors, level, grid, side)
        centre, size = _encode(faces.boxes[own.faces], own, grid, side)
        certain = torch.full((len(own.faces), 1), 20.0)
        logits = torch.where(faces.targets[own.faces] > 0.5, 20.0, -20.0)
        values[own.place] = torch.cat([torch.logit(centre, 1e-6), size, certain, logits], dim=1)
        maps.append(values.permute(0, 2, 3, 1, 4).reshape(1, *grid, -1).numpy())
    return maps


def _cells(values: Tensor) -> Tensor:
    """A map as `(n, anchors, rows, columns, values)`."""
    count, _, rows, columns = values.shape
    return values.reshape(count, ANCHORS_EACH, VALUES, rows, columns).permute(0, 1, 3, 4, 2)


def _assign(faces: Faces, anchors: Sequence[Anchor], level: int, grid: torch.Size, side: int) -> _Assigned:
    """The labelled faces whose best anchor is one of a map's."""
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    every = torch.tensor(anchors, dtype=sides.dtype, device=sides.device)
    common = torch.minimum(sides[:, None], every).prod(dim=2)
    best = (common / (sides.prod(dim=1)[:, None] + every.prod(dim=1) - common)).argmax(dim=1)
    chosen = torch.nonzero(faces.labelled & (best // ANCHORS_EACH == level))[:, 0]
    middles = (faces.boxes[chosen, :2] + faces.boxes[chosen, 2:]) / 2
    rows, columns = grid
    column = (middles[:, 0] / side * columns).long().clamp(0, columns - 1)
    row = (middles[:, 1] / side * rows).long().clamp(0, rows - 1)
    return _Assigned((faces.picture[chosen], best[chosen] % ANCHORS_EACH, row, column), chosen, every[best[chosen]])


def _encode(boxes: Tensor, own: _Assigned, grid: torch.Size, side: int) -> tuple[Tensor, Tensor]:
    """The place of each face's middle within its cell, 0..1, and the logarithm of its size over the anchor's."""
    _, _, row, column = own.place
    rows, columns = grid
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 / side
    centre = torch.stack([middles[:, 0] * columns - column, middles[:, 1] * rows - row], dim=1)
    return centre, torch.log((boxes[:, 2:] - boxes[:, :2]).clamp(min=1) / own.anchors)


def _counts(values: Tensor, faces: Faces, anchors: Sequence[Anchor], side: int) -> Tensor:
    """1 where a box counts as background: not where it found a face, nor in cells that a face without label touches.

    Args:
        values: `(n, anchors, rows, columns, values)`.
        faces: the faces of the batch.
        anchors: of this map.
        side: side of the network's input, pixels.
    """
    counts = torch.ones_like(values[..., 0])
    boxes = _decode(values, anchors, side)
    left, top = _corners(values, side)
    cell = side / values.shape[3]
    for picture, box, labelled in zip(faces.picture.tolist(), faces.boxes, faces.labelled.tolist(), strict=True):
        if labelled:
            counts[picture][_iou(boxes[picture], box) > _FOUND_ANYWAY] = 0
        else:
            touched = (left < box[2]) & (left + cell > box[0]) & (top < box[3]) & (top + cell > box[1])
            counts[picture][:, touched] = 0
    return counts


def _corners(values: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Left and top side of each cell, `(rows, columns)`, pixels."""
    rows, columns = values.shape[2:4]
    top, left = torch.meshgrid(
        torch.arange(rows, device=values.device) * (side / rows),
        torch.arange(columns, device=values.device) * (side / columns),
        indexing="ij",
    )
    return left, top


def _decode(values: Tensor, anchors: Sequence[Anchor], side: int) -> Tensor:
    """The box of each cell and anchor, `(n, anchors, rows, columns, 4)`, pixels."""
    cell = torch.tensor([side / values.shape[3], side / values.shape[2]], device=values.device)
    centre = torch.stack(_corners(values, side), dim=-1) + values[..., :2].sigmoid() * cell
    sizes = torch.tensor(anchors, dtype=values.dtype, device=values.device)[:, None, None]
    half = sizes * values[..., 2:4].clamp(max=8).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _iou(boxes: Tensor, box: Tensor) -> Tensor:
    """The overlap of boxes `(..., 4)` with one."""
    common = (torch.minimum(boxes[..., 2:], box[2:]) - torch.maximum(boxes[..., :2], box[:2])).clamp(min=0).prod(-1)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1) + (box[2:] - box[:2]).prod()
    return common / (areas - common)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
