"""What is worth knowing of a data set before anything is trained on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import SPLITS, Dataset, Split, name_of
from edge_fer.types import LABELS

FEW = 20
"""A label with fewer faces in a split is not learned, or not measured, well."""

_FLAT = 2.0  # standard deviation of grey values, below which no face can be made out
_SMALL = 32  # pixels


def find_problems(dataset: Dataset, check: int, progress: Callable[[int, int], None]) -> list[str]:
    """What may be wrong, a sentence each.

    Args:
        dataset: the faces.
        check: how many of the pictures are read, evenly spaced.
        progress: called with how many of them are done.
    """
    problems = []
    for split in Split:
        few = [f"{LABELS[label]} {count}" for label, count in enumerate(dataset.counts()[split]) if count < FEW]
        if few:
            problems.append(f"few faces in {SPLITS[split]}: {', '.join(few)}")
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(check, len(dataset))).round().astype(int)).tolist()
    first_seen: dict[bytes, int] = {}
    for number, index in enumerate(chosen, 1):
        problems += _problems_of(dataset, index, first_seen)
        progress(number, len(chosen))
    return problems


def _problems_of(dataset: Dataset, index: int, first_seen: dict[bytes, int]) -> list[str]:
    try:
        image = dataset.images[index]
    except SourceError as error:
        return [str(error)]
    problems, name = [], name_of(dataset.images, index)
    if min(image.shape) < _SMALL:
        problems.append(f"{name} is {image.shape[1]}x{image.shape[0]} pixels")
    if image.std() < _FLAT:
        problems.append(f"{name} is one grey surface")
    twin = first_seen.setdefault(hashlib.sha256(image.tobytes()).digest(), index)
    if dataset.splits[twin] != dataset.splits[index]:
        ours, theirs = (SPLITS[Split(dataset.splits[place])] for place in (index, twin))
        problems.append(f"{name} in {ours} is the same picture as {name_of(dataset.images, twin)} in {theirs}")
    return problems
