"""What a picture with labelled faces is, and sets of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_fer.capture.sources.picture import read_picture
from edge_fer.faces.boxes import Boxes
from edge_fer.types import LABELS, Image

UNLABELLED = -1
"""The label of a face whose expression nobody has named: what a detector says there is neither right nor wrong."""


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture and its faces.

    Attributes:
        image: `(height, width, 3)` uint8, BGR.
        boxes: `(n, 4)` float32: left, top, right and bottom side, pixels.
        labels: `(n,)` int64, indices into `LABELS`, or `UNLABELLED`.
        targets: `(n, 7)` float32: the annotators' votes, each row summing to 1, or all on the label; 0 for a face
            without label.
    """

    image: Image
    boxes: Boxes
    labels: NDArray[np.int64]
    targets: NDArray[np.float32]


class LabelledPictures(Protocol):
    """Pictures with labelled faces, read or made when they are needed."""

    @property
    def name(self) -> str:
        """What they are, in words."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> LabelledPicture:
        """One of them.

        Raises:
            SourceError: when it cannot be read.
        """
        ...


def labelled_picture(image: Image, boxes: list[tuple[float, ...]], labels: list[int]) -> LabelledPicture:
    """A picture whose faces have one label each, or none.

    Args:
        image: see `LabelledPicture`.
        boxes: left, top, right and bottom side of each face, pixels.
        labels: the label of each, or `UNLABELLED`.
    """
    known = np.array(labels, np.int64)
    targets = np.eye(len(LABELS), dtype=np.float32)[np.maximum(known, 0)] * (known >= 0)[:, None]
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return LabelledPicture(image, corners, known, targets.astype(np.float32).reshape(-1, len(LABELS)))


@dataclass(frozen=True, slots=True)
class ListedFace:
    """A face of a picture in a file.

    Attributes:
        box: left, top, right and bottom side, pixels, or parts of the picture's sides; see `FilePictures`.
        label: index into `LABELS`, or `UNLABELLED`.
    """

    box: tuple[float, float, float, float]
    label: int


@dataclass(frozen=True, slots=True)
class FilePictures:
    """Pictures in files.

    Attributes:
        name: what they are, in words.
        paths: paths of the files.
        faces: the faces of each.
        in_parts: whether boxes are parts of the picture's sides, 0..1, not pixels.
    """

    name: str
    paths: tuple[Path, ...]
    faces: tuple[tuple[ListedFace, ...], ...]
    in_parts: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> LabelledPicture:
        image = read_picture(self.paths[index], colour=True)
        height, width = image.shape[:2]
        scale = (width, height, width, height) if self.in_parts else (1, 1, 1, 1)
        faces = self.faces[index]
        boxes = [tuple(side * by for side, by in zip(face.box, scale, strict=True)) for face in faces]
        return labelled_picture(image, boxes, [face.label for face in faces])


@dataclass(frozen=True, slots=True)
class DetectionSet:
    """Pictures by split, and what was left out.

    Attributes:
        training: to train on.
        validation: to choose by.
        test: to measure on, where there are any.
        left_out: one line for each thing that could not be used.
    """

    training: LabelledPictures
    validation: LabelledPictures
    test: LabelledPictures | None = None
    left_out: tuple[str, ...] = ()
