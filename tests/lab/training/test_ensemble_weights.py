"""Weights of ensembles: known optima, nested folds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.lab.training.ensemble_weights import FOLDS, choose_weights, nested_folds, weighted_mean

pytestmark = pytest.mark.lab


def sure(labels: NDArray[np.int64], of: float) -> NDArray[np.float64]:
    """Probabilities `of` for the named labels; the rest is shared out."""
    rows = np.full((len(labels), 7), (1 - of) / 6)
    rows[np.arange(len(labels)), labels] = of
    return rows


def noisy(labels: NDArray[np.int64], right: float, seed: int) -> NDArray[np.float64]:
    """A member that is right on a part of the faces, and equally sure of all."""
    rng = np.random.default_rng(seed)
    named = np.where(rng.random(len(labels)) < right, labels, rng.integers(0, 7, len(labels)))
    return sure(named, 0.6)


@pytest.fixture(scope="module")
def labels() -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, 7, 400)


def test_a_single_member_has_all_the_weight(labels: NDArray[np.int64]) -> None:
    assert choose_weights(noisy(labels, 0.5, 1)[np.newaxis], labels).tolist() == [1.0]


def test_the_known_optimum_of_a_constructed_case_is_found() -> None:
    """Each of two members is right on one half of the faces; the mean is right on all where 0.4 < w < 0.8."""
    labels = np.repeat([0, 1], 50)
    first, second = np.zeros((100, 7)), np.zeros((100, 7))
    first[:50, 0], first[:50, 1], first[50:, 0], first[50:, 1] = 0.8, 0.2, 0.6, 0.4
    second[:50, 0], second[:50, 1], second[50:, 0], second[50:, 1] = 0.3, 0.7, 0.1, 0.9
    rows = np.stack([first, second])
    weights = choose_weights(rows, labels, seed=3)
    assert weights.sum() == pytest.approx(1)
    assert (weighted_mean(rows, weights).argmax(axis=1) == labels).all()
    # right on the first half: 0.6 w - 0.4 (1 - w) > 0; on the second: 0.8 (1 - w) - 0.2 w > 0
    assert 0.4 < weights[0] < 0.8
    shares = np.linspace(0.401, 0.799, 400)
    chances = [np.log(weighted_mean(rows, np.array([w, 1 - w]))[np.arange(100), labels]).mean() for w in shares]
    assert weights[0] == pytest.approx(shares[int(np.argmax(chances))], abs=0.01), "the likeliest of the right ones"


def test_accuracy_counts_before_likelihood() -> None:
    """The second member is likelier by far on all faces but one, on which it is wrong."""
    labels = np.zeros(20, np.int64)
    first, second = sure(labels, 0.2), sure(labels, 0.99)
    second[0] = sure(np.array([1]), 0.5)[0]
    weights = choose_weights(np.stack([first, second]), labels)
    assert weighted_mean(np.stack([first, second]), weights).argmax(axis=1).tolist() == [0] * 20
    assert weights[0] > 0.85


def test_the_weights_of_a_member_that_is_there_twice_add_up(labels: NDArray[np.int64]) -> None:
    one, other = noisy(labels, 0.6, 1), noisy(labels, 0.5, 2)
    twice = choose_weights(np.stack([one, one, other]), labels)
    once = choose_weights(np.stack([one, other]), labels)
    for rows, weights in ((np.stack([one, one, other]), twice), (np.stack([one, other]), once)):
        named = weighted_mean(rows, weights).argmax(axis=1)
        assert (named == labels).mean() >= (one.argmax(axis=1) == labels).mean()
    np.testing.assert_allclose(twice[0] + twice[1], once[0], atol=0.02)


def test_the_same_seed_gives_the_same_weights(labels: NDArray[np.int64]) -> None:
    rows = np.stack([noisy(labels, 0.5, seed) for seed in range(2)])
    np.testing.assert_array_equal(choose_weights(rows, labels, 1), choose_weights(rows, labels, 1))


@pytest.mark.slow
def test_nested_folds_show_that_chosen_weights_flatter() -> None:
    """Members that know nothing: the chosen mean is right more often than chance on its own faces only."""
    labels = np.random.default_rng(5).integers(0, 7, 100)
    rows = np.stack([np.random.default_rng(seed).dirichlet(np.ones(7), len(labels)) for seed in range(4)])
    own = (weighted_mean(rows, choose_weights(rows, labels)).argmax(axis=1) == labels).mean()
    nested = nested_folds(rows, labels)
    assert nested.weights.shape == (FOLDS, 4)
    np.testing.assert_allclose(nested.weights.sum(axis=1), 1)
    np.testing.assert_allclose(nested.mean.sum(axis=1), 1)
    assert own - (nested.mean.argmax(axis=1) == labels).mean() > 0.04


def test_a_face_does_not_choose_the_weights_it_is_measured_with(labels: NDArray[np.int64]) -> None:
    """Changing the labels of one fold changes no probability of that fold."""
    some = labels[:60]
    rows = np.stack([noisy(some, 0.6, 1), noisy(some, 0.5, 2)])
    fold = np.array_split(np.random.default_rng(0).permutation(60), FOLDS)[2]
    changed = some.copy()
    changed[fold] = (changed[fold] + 1) % 7
    before, after = nested_folds(rows, some), nested_folds(rows, changed)
    np.testing.assert_array_equal(before.mean[fold], after.mean[fold])
    assert not np.array_equal(before.weights, after.weights)


def test_too_few_faces_are_refused() -> None:
    with pytest.raises(SourceError, match="at least 5 faces"):
        nested_folds(np.ones((1, 4, 7)) / 7, np.zeros(4, np.int64))
