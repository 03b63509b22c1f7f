"""The weights of an ensemble: those whose mean is right most often on validation faces.

Differential evolution (Storn and Price, 1997) over [0, 1]^k, scaled to a sum of 1, as in Kumari's EmoNet. Accuracy has
the same value over whole regions of weights; among weights that are equally often right, those with the least negative
log likelihood are better.

Weights that were chosen on some faces look better on these than on others. How much so is measured by nested folds:
the weights for each fifth of the faces are chosen on the other four.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import differential_evolution

from edge_fer.errors import SourceError
from edge_fer.lab.evaluation.metrics import Labels
from edge_fer.types import LABELS

Rows = NDArray[np.float64]
"""Probabilities of each member for each face, `(k, n, 7)`, the last axis summing to 1."""

FOLDS = 5
_POPULATION, _TOLERANCE, _GENERATIONS = 15, 1e-7, 1000
_SMALLEST = np.finfo(np.float64).tiny  # of a probability that has run out of digits


@dataclass(frozen=True, slots=True)
class Nested:
    """What ensembles are worth on faces that their weights were not chosen on.

    Attributes:
        weights: `(FOLDS, k)`, for each fold those that were chosen on the other faces.
        mean: `(n, 7)`, the probabilities of each face by the weights of its fold.
    """

    weights: NDArray[np.float64]
    mean: NDArray[np.float64]


def choose_weights(rows: Rows, labels: Labels, seed: int = 0) -> NDArray[np.float64]:
    """The weights of the members, `(k,)`, each 0..1, summing to 1.

    Args:
        rows: probabilities of each member.
        labels: `(n,)`, of the same faces.
        seed: seed of the search.
    """
    members = len(rows)
    if members == 1:
        return np.ones(1)
    found = differential_evolution(
        lambda points: _costs(points, rows, labels),
        [(0.0, 1.0)] * members,
        popsize=_POPULATION,
        tol=_TOLERANCE,
        maxiter=_GENERATIONS,
        rng=seed,
        polish=False,  # it goes by slopes, and there are none
        updating="deferred",
        vectorized=True,
    )
    return _scaled(found.x[:, np.newaxis])[:, 0]


def nested_folds(rows: Rows, labels: Labels, seed: int = 0) -> Nested:
    """Choose weights for each fold of the faces on the others.

    Args:
        rows: probabilities of each member.
        labels: `(n,)`, of the same faces.
        seed: seed of the draw of the folds, and of each search.

    Raises:
        SourceError: when there are fewer faces than folds.
    """
    faces = len(labels)
    if faces < FOLDS:
        raise SourceError(f"expected at least {FOLDS} faces to choose weights on, found {faces}; give more")
    folds = np.array_split(np.random.default_rng(seed).permutation(faces), FOLDS)
    mean, weights = np.zeros((faces, len(LABELS))), []
    for fold in folds:
        others = np.setdiff1d(np.arange(faces), fold)
        weights.append(choose_weights(rows[:, others], labels[others], seed))
        mean[fold] = weighted_mean(rows[:, fold], weights[-1])
    return Nested(np.stack(weights), mean)


def weighted_mean(rows: Rows, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of an ensemble, `(n, 7)`.

    Args:
        rows: probabilities of each member.
        weights: `(k,)`, summing to 1.
    """
    return np.tensordot(weights, rows, axes=1)


def as_logits(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits whose softmax are these probabilities, `(n, 7)`."""
    return np.log(np.maximum(mean, _SMALLEST))


def _costs(points: NDArray[np.float64], rows: Rows, labels: Labels) -> NDArray[np.float64]:
    """Of each point `(k, points)` how many faces are wrong, and below one face the likelihood, squeezed into 0..1."""
    means = np.tensordot(_scaled(points).T, rows, axes=1)
    wrong = (means.argmax(axis=2) != labels).sum(axis=1)
    loss = -np.log(np.maximum(means[:, np.arange(len(labels)), labels], _SMALLEST)).mean(axis=1)
    return np.asarray(wrong + loss / (1 + loss))


def _scaled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points `(k, points)` with a sum of 1; all equal where a point is the origin."""
    totals = points.sum(axis=0)
    return np.where(totals > 0, points / np.where(totals > 0, totals, 1), 1 / len(points))
