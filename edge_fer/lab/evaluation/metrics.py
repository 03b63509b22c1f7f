"""What answers are worth: numbers from logits and labels, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fer.types import LABELS

Logits = NDArray[np.float64]
Labels = NDArray[np.int64]
Interval = tuple[float, float]

NOT_FOUND = -1
"""The name of a face that the detector did not find."""

BINS = 15
_NORMAL_95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Score:
    """How well a classifier does on a labelled set; all 0..1.

    Attributes:
        images: how many faces.
        accuracy: accuracy on all faces, 0..1.
        recall: for each expression, in the order of `LABELS`, the part of its faces that are found.
        precision: for each expression, the part of the faces so called that are right; NaN where none is.
        f1: for each expression, harmonic mean of both; NaN where it has no faces and none is so called.
        counts: faces of each expression.
    """

    images: int
    accuracy: float
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    f1: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def recall_deviation(self) -> float:
        """Standard deviation of the recalls of the labels that occur: 0 where all are found equally often."""
        return float(np.nanstd(self.recall))


def score(logits: Logits, labels: Labels) -> Score:
    """Compare the most probable expressions with the true ones."""
    return score_of(confusion(logits.argmax(axis=1), labels))


def confusion(named: Labels, labels: Labels) -> NDArray[np.int64]:
    """Count faces by what they are and what they are named.

    Args:
        named: `(n,)`, indices into `LABELS`, or `NOT_FOUND`.
        labels: `(n,)`, indices into `LABELS`.

    Returns:
        `(7, 8)`: a row for each label, a column for each name, the last one for faces that were not found.
    """
    columns = len(LABELS) + 1
    cells = labels * columns + np.where(named == NOT_FOUND, len(LABELS), named)
    return np.bincount(cells, minlength=len(LABELS) * columns).reshape(len(LABELS), columns)


def score_of(matrix: NDArray[np.int64]) -> Score:
    """The shares that follow from a confusion matrix `(7, 8)`."""
    right = matrix[:, : len(LABELS)].diagonal()
    counts, called = matrix.sum(axis=1), matrix[:, : len(LABELS)].sum(axis=0)
    return Score(
        images=int(matrix.sum()),
        accuracy=float(right.sum() / matrix.sum()),
        recall=_shares(right, counts),
        precision=_shares(right, called),
        f1=_shares(2 * right, counts + called),
        counts=tuple(counts.tolist()),
    )


def _shares(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> tuple[float, ...]:
    return tuple(
        part / whole if whole else math.nan for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)
    )


def agreement(first: Logits, second: Logits) -> float:
    """The part of the faces on which two sets of logits name the same expression, 0..1."""
    return float((first.argmax(axis=1) == second.argmax(axis=1)).mean())


def wilson(right: int, faces: int) -> Interval:
    """The 95 % interval of a share, 0..1.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    share, z2 = right / faces, _NORMAL_95**2
    middle = (share + z2 / (2 * faces)) / (1 + z2 / faces)
    reach = _NORMAL_95 / (1 + z2 / faces) * math.sqrt(share * (1 - share) / faces + z2 / (4 * faces**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def paired_difference(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[float, Interval]:
    """How far two accuracies on the same faces are apart, and the 95 % interval of that.

    Newcombe, "Improved Confidence Intervals for the Difference Between Binomial Proportions Based on
    Paired Data", 1998, method 10: the Wilson intervals of both, combined by the correlation of the pairs.

    Args:
        first: `(n,)`, which faces one gets right.
        second: `(n,)`, which faces the other gets right.

    Returns:
        Accuracy of the first less that of the second, -1..1, and its interval.
    """
    faces = len(first)
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    p1, p2 = (both + only_first) / faces, (both + only_second) / faces
    (low1, high1), (low2, high2) = wilson(both + only_first, faces), wilson(both + only_second, faces)
    correlation = _correlation(both, only_first, only_second, neither)
    down, up = (p1 - low1, high2 - p2), (high1 - p1, p2 - low2)
    lower, upper = (math.sqrt(max(0.0, a * a - 2 * correlation * a * b + b * b)) for a, b in (down, up))
    difference = (only_first - only_second) / faces
    return difference, (difference - lower, difference + upper)


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Phi of the 2 x 2 table, with Newcombe's correction for continuity; 0 where a side of it is empty."""
    sides = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if sides == 0:
        return 0.0
    excess = both * neither - only_first * only_second
    half = (both + only_first + only_second + neither) / 2
    return (max(excess - half, 0.0) if excess > 0 else excess) / math.sqrt(sides)


def log_probabilities(logits: Logits, temperature: float) -> Logits:
    """Of each label, `(n, 7)`, nats, at most 0."""
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))


def negative_log_likelihood(logits: Logits, labels: Labels, temperature: float) -> float:
    """Mean negative log likelihood of the true labels, nats."""
    return float(-log_probabilities(logits, temperature)[np.arange(len(labels)), labels].mean())


def brier(probabilities: Logits, labels: Labels) -> float:
    """Mean squared distance of probabilities `(n, 7)` from the labels, summed over the labels, 0..2.

    Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.
    """
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1).mean())


@dataclass(frozen=True, slots=True)
class Bin:
    """Faces of about the same confidence: how many, their mean confidence, and the part that is right."""

    faces: int
    confidence: float
    accuracy: float


def reliability(probabilities: Logits, labels: Labels, bins: int = BINS) -> tuple[Bin, ...]:
    """Confidence beside accuracy, in bins of equally many faces, least confident first.

    Nixon et al., "Measuring Calibration in Deep Learning", 2019.

    Args:
        probabilities: `(n, 7)`.
        labels: `(n,)`.
        bins: at most so many; fewer where there are fewer faces.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return tuple(Bin(len(part), float(confidence[part].mean()), float(right[part].mean())) for part in parts)


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, weighed by faces, 0..1.

    Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    faces = sum(part.faces for part in bins)
    return sum(part.faces * abs(part.confidence - part.accuracy) for part in bins) / faces


def guessing_below(logits: Logits, labels: Labels, temperature: float) -> float | None:
    """The confidence, a multiple of 0.05, below which a label is more often wrong than right; 0.05..0.95.

    Faces are put into bins of 0.05 of confidence. The answer is the upper end of the last bin in which fewer than
    half are right, before the first in which half or more are; bins of fewer than 30 faces are passed over. Null
    where there is no such bin, which a few hundred faces seldom fill.
    """
    confidence = np.exp(log_probabilities(logits, temperature)).max(axis=1)
    bins = np.minimum(np.floor(confidence * 20).astype(int), 18)
    right = logits.argmax(axis=1) == labels
    below = None
    for number in range(19):
        inside = right[bins == number]
        if len(inside) >= 30:
            if inside.mean() >= 0.5:
                break
            below = (number + 1) / 20
    return below


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature, to a hundredth in 0.25..5, with the least negative log likelihood.

    Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    candidates = np.arange(0.25, 5.0, 0.01)
    losses = [negative_log_likelihood(logits, labels, float(candidate)) for candidate in candidates]
    return round(float(candidates[int(np.argmin(losses))]), 2)
