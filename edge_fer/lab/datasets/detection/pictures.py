"""What a picture with labelled faces is, and sets of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
    """Pictures with labelled faces, read or made when they are needed.

    Attributes:
        name: what they are, in words.
    """

    name: str

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
