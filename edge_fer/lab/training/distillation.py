"""Soft targets: the probabilities that a deployed classifier, the teacher, gives training faces.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015; here at a temperature of 1, mixed
with the annotators' targets. The teacher reads each face once and as it is; only the network in training gets varied
pictures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.expression.outputs import softmax
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Progress
from edge_fer.lab.datasets.dataset import Dataset, Images, Split, Subset
from edge_fer.lab.datasets.pictures import resized
from edge_fer.lab.evaluation.logits import classify
from edge_fer.lab.files import replacing


def soft_targets(
    images: Images, teacher: str, store: ModelStore, progress: Progress, *, piece: int = 256
) -> NDArray[np.float32]:
    """The probabilities that a classifier gives each face, before its temperature.

    Args:
        images: crops as a data set has them.
        teacher: name of the classifier in the manifest.
        store: the folder of the classifier.
        progress: called after each piece.
        piece: faces that are enlarged at a time.

    Returns:
        `(n, 7)` float32, rows summing to 1.

    Raises:
        ModelError: when there is no such classifier.
        SourceError: when a picture cannot be read.
    """
    spec, model = store.spec(teacher, "classify"), store.load(teacher, "classify")
    rows: list[NDArray[np.float64]] = []
    for first in range(0, len(images), piece):
        some = Subset(images, np.arange(first, min(first + piece, len(images))))
        pictures = resized(some, spec.input.size, colour=spec.input.colour != "grey")
        rows += [softmax(logits) for logits in classify(model, pictures, spec.input)]
        progress(len(rows), len(images))
    return np.array(rows, np.float32)


def with_soft_targets(dataset: Dataset, targets: NDArray[np.float32], part: float) -> Dataset:
    """A data set whose training targets are in part soft targets.

    Args:
        dataset: the faces, with targets by annotators.
        targets: `(n, 7)` float32, soft targets of its training faces in order; see `soft_targets`.
        part: the part of each new target that is the soft target, 0..1.
    """
    mixed = dataset.targets.copy()
    training = dataset.splits == Split.TRAINING
    mixed[training] = (1 - part) * mixed[training] + part * targets
    return replace(dataset, targets=mixed)


def cached_soft_targets(
    path: Path, dataset: Dataset, teacher: str, store: ModelStore, progress: Progress
) -> NDArray[np.float32]:
    """Soft targets of the training faces, from a file where an earlier run with the same teacher wrote them.

    Args:
        path: an .npz file; written where it is missing or of another teacher or other faces.
        dataset: the faces.
        teacher: see `soft_targets`.
        store: see `soft_targets`.
        progress: see `soft_targets`.

    Raises:
        ModelError: when there is no such classifier.
        OutputError: when the file cannot be written.
    """
    training = dataset.only(Split.TRAINING)
    digest = store.spec(teacher, "classify").sha256
    if path.is_file():
        with np.load(path) as cached:
            if str(cached["sha256"]) == digest and len(cached["targets"]) == len(training):
                return np.asarray(cached["targets"], np.float32)
    targets = soft_targets(training.images, teacher, store, progress)
    with replacing(path) as file:
        np.savez(file, sha256=np.array(digest), targets=targets)
    return targets
