"""What a deployed classifier thinks of training faces, for a smaller one to learn from.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015; here at a temperature of 1, mixed
with what annotators said, and asked once a face: pictures are varied for the pupil only.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.expression.outputs import softmax
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Progress
from edge_fer.lab.datasets.dataset import Dataset, Images, Subset, Usage
from edge_fer.lab.datasets.pictures import resized
from edge_fer.lab.evaluation.logits import classify
from edge_fer.lab.files import replacing

_PIECE = 256  # faces enlarged at a time


def answers(images: Images, teacher: str, store: ModelStore, progress: Progress) -> NDArray[np.float32]:
    """The probabilities that a classifier gives each face, before its temperature.

    Args:
        images: grey crops as a data set has them.
        teacher: its name in the manifest.
        store: where it is.
        progress: told now and then.

    Returns:
        `(n, 7)` float32, rows summing to 1.

    Raises:
        ModelError: when there is no such classifier.
        SourceError: when a picture cannot be read.
    """
    spec, model = store.spec(teacher, "classify"), store.load(teacher, "classify")
    rows: list[NDArray[np.float64]] = []
    for first in range(0, len(images), _PIECE):
        piece = Subset(images, np.arange(first, min(first + _PIECE, len(images))))
        rows += [softmax(logits) for logits in classify(model, resized(piece, spec.input.size), spec.input)]
        progress(len(rows), len(images))
    return np.array(rows, np.float32)


def taught(dataset: Dataset, thinks: NDArray[np.float32], part: float) -> Dataset:
    """A data set whose training targets are in part what a teacher thinks.

    Args:
        dataset: with targets by annotators.
        thinks: `(n, 7)`, of its training faces in order, see `answers`.
        part: of each target that is the teacher's, 0..1.
    """
    targets = dataset.targets.copy()
    training = dataset.usage == Usage.TRAINING
    targets[training] = (1 - part) * targets[training] + part * thinks
    return replace(dataset, targets=targets)


def kept_answers(
    path: Path, dataset: Dataset, teacher: str, store: ModelStore, progress: Progress
) -> NDArray[np.float32]:
    """`answers` to the training faces, from a file where an earlier run of the same teacher left them there.

    Args:
        path: an .npz file.
        dataset: see `taught`.
        teacher: see `answers`.
        store: see `answers`.
        progress: see `answers`.

    Raises:
        ModelError: when there is no such classifier.
        OutputError: when the file cannot be written.
    """
    training = dataset.only(Usage.TRAINING)
    digest = store.spec(teacher, "classify").sha256
    if path.is_file():
        with np.load(path) as kept:
            if str(kept["sha256"]) == digest and len(kept["thinks"]) == len(training):
                return np.asarray(kept["thinks"], np.float32)
    thinks = answers(training.images, teacher, store, progress)
    with replacing(path) as file:
        np.savez(file, sha256=np.array(digest), thinks=thinks)
    return thinks
