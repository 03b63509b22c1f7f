"""What a classifier is worth: logits over a set of faces, accuracy, agreement, temperature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.backends import open_backend
from edge_fer.classify import dequantize, quantization_table
from edge_fer.models import InputSpec
from edge_fer.types import LABELS

Progress = Callable[[int, int], None]
"""Called with the number of faces done and of all faces."""


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


def classify(
    model: bytes, images: NDArray[np.uint8], spec: InputSpec, *, threads: int = 2, progress: Progress = silent
) -> NDArray[np.float64]:
    """The logits of every face.

    Args:
        model: the content of a .tflite file, float32 or int8.
        images: `(n, size, size)` uint8, grey.
        spec: how a pixel becomes an input.
        threads: processor threads.
        progress: told after each face.

    Returns:
        `(n, 7)`, dequantized.
    """
    with open_backend("cpu", model, threads=threads) as backend:
        table = quantization_table(spec, backend.input)
        rows = []
        for number, image in enumerate(images, 1):
            (output,) = backend.infer(as_batch(image, table))
            rows.append(dequantize(output[0], backend.outputs[0]))
            progress(number, len(images))
    return np.stack(rows)


def as_batch(face: NDArray[np.uint8], table: NDArray[Any]) -> NDArray[Any]:
    """A grey face as a network takes it: `(1, size, size, 3)` of the table's dtype, three equal channels."""
    return np.repeat(table[face][np.newaxis, :, :, np.newaxis], 3, axis=3)


@dataclass(frozen=True, slots=True)
class Score:
    """How well a classifier does on a labelled set; all 0..1.

    Attributes:
        images: how many faces.
        accuracy: of all faces.
        recall: of each expression, in the order of `LABELS`: the part of its faces that are found.
        precision: of each expression: the part of the faces so called that are right; NaN where none is.
        counts: faces of each expression.
    """

    images: int
    accuracy: float
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    counts: tuple[int, ...]


def score(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Score:
    """Compare the most probable expressions with the true ones."""
    named = logits.argmax(axis=1)
    right = named == labels
    true = [labels == index for index in range(len(LABELS))]
    called = [named == index for index in range(len(LABELS))]
    return Score(
        images=len(labels),
        accuracy=float(right.mean()),
        recall=tuple(_share(right, mask) for mask in true),
        precision=tuple(_share(right, mask) for mask in called),
        counts=tuple(int(mask.sum()) for mask in true),
    )


def _share(right: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    return float(right[mask].mean()) if mask.any() else float("nan")


def agreement(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The part of the faces on which two sets of logits name the same expression, 0..1."""
    return float((first.argmax(axis=1) == second.argmax(axis=1)).mean())


def negative_log_likelihood(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    """Mean negative log likelihood of the true labels, nats."""
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    log_probabilities = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The temperature, to a hundredth in 0.25..5, with the least negative log likelihood.

    Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    candidates = np.arange(0.25, 5.0, 0.01)
    losses = [negative_log_likelihood(logits, labels, float(candidate)) for candidate in candidates]
    return round(float(candidates[int(np.argmin(losses))]), 2)
