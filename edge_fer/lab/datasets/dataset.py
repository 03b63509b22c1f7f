"""What a data set is once its layout is behind it: pictures, targets and splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_fer.capture.sources import picture
from edge_fer.errors import SourceError
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.types import LABELS, Box, Image

SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pgm",
        ".png",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""Of files that are read as pictures, in lower case."""


Colour = Literal["grey", "rgb"]
"""What a network's input channels hold: `grey`, one luminance value on all three, or `rgb`."""


class Split(IntEnum):
    """Which split a face belongs to."""

    TRAINING = 0
    VALIDATION = 1
    TEST = 2


SPLITS = {Split.TRAINING: "train", Split.VALIDATION: "valid", Split.TEST: "test"}
"""What splits are called in folders, tables and options."""

_SPLIT_NAMES = {
    "train": Split.TRAINING,
    "training": Split.TRAINING,
    "train_set": Split.TRAINING,
    "valid": Split.VALIDATION,
    "val": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "val_set": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}


def find_split(name: str) -> Split | None:
    """The split of a name, as folders and options give it; None where there is none."""
    return _SPLIT_NAMES.get(name.lower())


class Images(Protocol):
    """Grey pictures, `(height, width)` uint8 each, read when they are needed."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Image:
        """One of them.

        Raises:
            SourceError: when it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileImages:
    """Pictures in files, of any size and colour.

    Attributes:
        paths: paths of the files.
        boxes: the part of each picture that is used, pixels; None: all of it.
    """

    paths: tuple[Path, ...]
    boxes: tuple[Box, ...] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Image:
        return self._read(index, colour=False)

    def colour(self, index: int) -> Image:
        """One of them as a camera would have given it.

        Returns:
            `(height, width, 3)` uint8, BGR.

        Raises:
            SourceError: when it cannot be read.
        """
        return self._read(index, colour=True)

    def _read(self, index: int, *, colour: bool) -> Image:
        pixels = picture.read_picture(self.paths[index], colour=colour)
        return pixels if self.boxes is None else cut(pixels, self.boxes[index])


def read_picture(images: Images, index: int, *, colour: bool) -> Image:
    """One picture, grey or in colour.

    Args:
        images: the pictures; those that have no colour become three equal channels.
        index: the place of the picture among them.
        colour: whether it is read in colour.

    Returns:
        uint8: `(height, width)`, grey, or `(height, width, 3)`, BGR.

    Raises:
        SourceError: when it cannot be read.
    """
    if not colour:
        return images[index]
    if isinstance(images, Subset):
        return read_picture(images.images, int(images.indices[index]), colour=colour)
    if isinstance(images, FileImages):
        return images.colour(index)
    return np.repeat(images[index][:, :, np.newaxis], 3, axis=2)


def name_of(images: Images, index: int) -> str:
    """What a picture is called: the path of its file, or its number where it has none of its own."""
    return str(images.paths[index]) if isinstance(images, FileImages) else f"face {index}"


@dataclass(frozen=True, slots=True)
class Subset:
    """Some of other pictures."""

    images: Images
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Image:
        return self.images[int(self.indices[index])]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled faces.

    Attributes:
        name: name of the data set.
        images: `n` grey pictures.
        labels: `(n,)` int64, indices into `LABELS`.
        targets: `(n, 7)` float32, each row summing to 1: the annotators' votes, or all on the label.
        splits: `(n,)` uint8, the `Split` of each face.
        second: `(n,)` int64, another annotator's label of the same picture; -1 where there is none.
        left_out: how many faces were left out, by reason.
        contempt: how many of these, by `Split`, are led by contempt; None where that is not known.
        drawn: splits that it does not come with and that were drawn from its training faces.
        crop: how the runtime's alignment has cut every face already; None: they are pictures as their
            owners give them out.
        landmarks: `(n, 68, 2)` float32, of each face at 48x48 pixels, for networks that read hand-made features, too;
            not a number where they are not known. None: there are none.
    """

    name: str
    images: Images
    labels: NDArray[np.int64]
    targets: NDArray[np.float32]
    splits: NDArray[np.uint8]
    second: NDArray[np.int64]
    left_out: Mapping[str, int] = field(default_factory=dict)
    contempt: tuple[int, ...] | None = None
    drawn: tuple[Split, ...] = ()
    crop: CropSpec | None = None
    landmarks: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, split: Split) -> Dataset:
        """The faces of one split."""
        return self.take(np.flatnonzero(self.splits == split))

    def take(self, indices: NDArray[np.int64]) -> Dataset:
        """Some of the faces, in the order of `indices`."""
        return replace(
            self,
            images=Subset(self.images, indices),
            labels=self.labels[indices],
            targets=self.targets[indices],
            splits=self.splits[indices],
            second=self.second[indices],
            landmarks=None if self.landmarks is None else self.landmarks[indices],
        )

    def by_second(self) -> Dataset:
        """The faces that have a second label, and by that one."""
        known = self.take(np.flatnonzero(self.second >= 0))
        return replace(known, labels=known.second, targets=np.eye(len(LABELS), dtype=np.float32)[known.second])

    def counts(self) -> NDArray[np.int64]:
        """`(3, 7)`: faces of each split and label."""
        cells = self.splits.astype(np.int64) * len(LABELS) + self.labels
        return np.bincount(cells, minlength=len(Split) * len(LABELS)).reshape(len(Split), len(LABELS))


def hard(
    name: str, images: Images, labels: NDArray[np.int64], splits: NDArray[np.uint8], left_out: Mapping[str, int]
) -> Dataset:
    """A data set with one label a face."""
    targets = np.eye(len(LABELS), dtype=np.float32)[labels]
    return Dataset(name, images, labels, targets, splits, np.full(len(labels), -1, np.int64), left_out)


def with_splits(
    dataset: Dataset, missing: tuple[Split, ...], share: float = 0.1, seed: int = 0, names: Sequence[str] = ()
) -> Dataset:
    """Take splits that the data set does not come with out of its training split.

    Faces are drawn by a hash of their names, so that nearly all stay where they are when others are added or
    taken away: a network that was trained before would otherwise be validated on faces that it has learned.

    Args:
        dataset: the data set, with training faces.
        missing: the splits to make.
        share: the part of the training faces of each label that goes into each of them, 0..1; at least one face,
            where one is left to train on.
        seed: seed of the draw.
        names: names of the faces; empty: their places are their names.
    """
    splits = dataset.splits.copy()
    keys = [_key(name, seed) for name in names or map(str, range(len(dataset)))]
    for label in range(len(LABELS)):
        faces = np.flatnonzero((dataset.splits == Split.TRAINING) & (dataset.labels == label))
        drawn = np.array(sorted(faces.tolist(), key=keys.__getitem__), np.int64)
        size = max(round(len(drawn) * share), int(len(drawn) > len(missing)))
        for number, split in enumerate(missing):
            splits[drawn[number * size : (number + 1) * size]] = split
    return replace(dataset, splits=splits, drawn=missing)


def _key(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} ".encode() + os.fsencode(name)).digest()


def cut(image: Image, box: Box) -> Image:
    """The part of a picture inside a box, at least a pixel of it."""
    height, width = image.shape[:2]
    left, top = min(max(round(box.x), 0), width - 1), min(max(round(box.y), 0), height - 1)
    right, bottom = max(round(box.x + box.width), left + 1), max(round(box.y + box.height), top + 1)
    return image[top:bottom, left:right]


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn what goes wrong with a file into one line that names it.

    Raises:
        SourceError: when the file cannot be read, or is no text where text is read.
    """
    try:
        yield
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"expected {what} at {path}, found: {error.strerror or error}; check the path") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"expected text in {path}, found bytes that are no UTF-8 at {error.start}") from error


def pictures_below(folder: Path) -> list[Path]:
    """All pictures in a folder and in the folders inside it, in the order of their names.

    Raises:
        SourceError: when there is no such folder.
    """
    if not folder.is_dir():
        raise SourceError(f"expected a folder of pictures at {folder}, found none; check the path")
    return sorted(path for path in folder.rglob("*") if is_picture(path))


def is_picture(path: Path) -> bool:
    """Whether a file is named like a picture that can be read."""
    return path.suffix.lower() in SUFFIXES
