"""The faces of an evaluation, and the record of which they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.lab.datasets import Layout, open_dataset
from edge_fer.lab.datasets.dataset import Dataset, Images, Split, read_picture
from edge_fer.lab.evaluation.record import Data, LabelSet, SplitName
from edge_fer.types import Image

SPLIT_NAMES: dict[Split, SplitName] = {
    Split.TRAINING: "training",
    Split.VALIDATION: "validation",
    Split.TEST: "test",
}


def open_faces(path: Path, layout: Layout, split: Split, labels: LabelSet) -> Dataset:
    """The faces of one split.

    Args:
        path: an .npz file, `fer2013.csv`, or a folder.
        layout: layout of the data.
        split: whose faces are read.
        labels: the data's first labels, or those of the second annotator.

    Raises:
        SourceError: when they cannot be read, or there are none.
    """
    dataset = open_dataset(path, layout).only(split)
    if labels == "second":
        dataset = dataset.by_second()
    if not len(dataset):
        raise SourceError(f"expected {SPLIT_NAMES[split]} faces with {labels} labels in {path}, found none")
    return dataset


def pictures(images: Images, *, colour: bool = False) -> Iterator[Image]:
    """All pictures, grey or in colour; see `read_picture`."""
    return (read_picture(images, index, colour=colour) for index in range(len(images)))


def describe_data(faces: Dataset, split: Split, labels: LabelSet, of: int, seed: int | None) -> Data:
    """Which faces are read.

    Args:
        faces: these.
        split: their split.
        labels: whose labels they have.
        of: how many faces the split has.
        seed: seed of the draw, where these are not all of them.
    """
    digest = hashlib.sha256()
    sides = []
    for picture, label in zip(pictures(faces.images), faces.labels.tolist(), strict=True):
        digest.update(f"{picture.shape} {label} ".encode())
        digest.update(np.ascontiguousarray(picture).tobytes())
        sides.append(max(picture.shape))
    return Data(
        name=faces.name,
        split=SPLIT_NAMES[split],
        labels=labels,
        faces=len(faces),
        of=of,
        seed=seed,
        side=int(np.median(sides)),
        sha256=digest.hexdigest(),
    )
