"""What a data set is once its layout is behind it: pictures, targets and splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.types import LABELS, Box, Image

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Of files that are read as pictures, in lower case."""


class Usage(IntEnum):
    """Which split a face belongs to."""

    TRAINING = 0
    VALIDATION = 1
    TEST = 2


class Images(Protocol):
    """Grey pictures, `(height, width)` uint8 each, read when they are asked for."""

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
        paths: of the files.
        boxes: the part of each picture that counts, pixels; null: all of it.
    """

    paths: tuple[Path, ...]
    boxes: tuple[Box, ...] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Image:
        path = self.paths[index]
        # Not cv2.imread, which writes its own complaint and cannot open every name everywhere.
        with reading(path, "a picture"):
            content = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
        if image is None:
            raise SourceError(f"expected a picture in {path}, found {content.size} bytes that are none; remove it")
        grey = np.asarray(image, np.uint8)
        return grey if self.boxes is None else cut(grey, self.boxes[index])


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
        name: of the data set.
        images: `n` grey pictures.
        labels: `(n,)` int64, indices into `LABELS`.
        targets: `(n, 7)` float32, each row summing to 1: what annotators said, or all on the label.
        usage: `(n,)` uint8, a `Usage` each.
        second: `(n,)` int64, another annotator's label of the same picture; -1 where there is none.
        left_out: how many faces did not count, by reason.
    """

    name: str
    images: Images
    labels: NDArray[np.int64]
    targets: NDArray[np.float32]
    usage: NDArray[np.uint8]
    second: NDArray[np.int64]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, usage: Usage) -> Dataset:
        """The faces of one split."""
        return self.take(np.flatnonzero(self.usage == usage))

    def take(self, indices: NDArray[np.int64]) -> Dataset:
        """Some of the faces, in the order of `indices`."""
        return replace(
            self,
            images=Subset(self.images, indices),
            labels=self.labels[indices],
            targets=self.targets[indices],
            usage=self.usage[indices],
            second=self.second[indices],
        )

    def counts(self) -> NDArray[np.int64]:
        """`(3, 7)`: faces of each split and label."""
        cells = self.usage.astype(np.int64) * len(LABELS) + self.labels
        return np.bincount(cells, minlength=len(Usage) * len(LABELS)).reshape(len(Usage), len(LABELS))


def hard(
    name: str, images: Images, labels: NDArray[np.int64], usage: NDArray[np.uint8], left_out: Mapping[str, int]
) -> Dataset:
    """A data set with one label a face."""
    targets = np.eye(len(LABELS), dtype=np.float32)[labels]
    return Dataset(name, images, labels, targets, usage, np.full(len(labels), -1, np.int64), left_out)


def with_splits(dataset: Dataset, missing: tuple[Usage, ...], share: float = 0.1, seed: int = 0) -> Dataset:
    """Take splits that the data set does not come with out of its training split.

    Args:
        dataset: has training faces.
        missing: the splits to make.
        share: of the training faces of each label that goes into each of them.
        seed: of the draw.
    """
    usage = dataset.usage.copy()
    rng = np.random.default_rng(seed)
    for label in range(len(LABELS)):
        drawn = rng.permutation(np.flatnonzero((dataset.usage == Usage.TRAINING) & (dataset.labels == label)))
        size = round(len(drawn) * share)
        for number, split in enumerate(missing):
            usage[drawn[number * size : (number + 1) * size]] = split
    return replace(dataset, usage=usage)


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
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
