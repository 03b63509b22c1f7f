"""Labels by FER+'s convention, and the arithmetic of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.errors import SourceError
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.evaluation.metrics import (
    NOT_FOUND,
    agreement,
    brier,
    calibration_error,
    confusion,
    fit_temperature,
    guessing_below,
    log_probabilities,
    negative_log_likelihood,
    paired_difference,
    reliability,
    score,
    score_of,
    wilson,
)
from edge_fer.types import LABELS

pytestmark = pytest.mark.lab

NEUTRAL, HAPPINESS, SURPRISE, SADNESS, ANGER, DISGUST, FEAR, CONTEMPT, UNKNOWN, NO_FACE = range(10)


def votes(**counts: int) -> np.ndarray:
    row = np.zeros(10, np.uint8)
    for name, count in counts.items():
        row[globals()[name]] = count
    return row


@pytest.fixture
def ferplus(tmp_path: Path) -> Path:
    rows = [
        (votes(ANGER=8, NEUTRAL=2), Split.TRAINING),
        (votes(CONTEMPT=6, SADNESS=4), Split.TRAINING),
        (votes(NO_FACE=10), Split.TRAINING),
        (votes(FEAR=2, **dict.fromkeys(("NEUTRAL", "HAPPINESS", "SADNESS"), 1)), Split.TRAINING),
        (votes(SURPRISE=5, UNKNOWN=4), Split.VALIDATION),
        (votes(CONTEMPT=1, **dict.fromkeys(("NEUTRAL", "HAPPINESS", "SADNESS"), 1)), Split.VALIDATION),
    ]
    x = np.arange(len(rows), dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    path = tmp_path / "faces.npz"
    np.savez(path, x=x, votes=np.stack([row for row, _ in rows]), usage=np.array([usage for _, usage in rows]))
    return path


def random_answers(faces: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn as often as the logits say."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (faces, 7))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return logits, np.array([generator.choice(7, p=row) for row in chances])


def test_faces_whose_leading_vote_is_none_of_the_seven_are_left_out(ferplus: Path) -> None:
    faces = open_dataset(ferplus).only(Split.TRAINING)
    assert [LABELS[label] for label in faces.labels] == ["anger", "fear"]
    assert [int(faces.images[index][0, 0]) for index in range(len(faces))] == [0, 3]
    assert [LABELS[label] for label in open_dataset(ferplus).only(Split.VALIDATION).labels] == ["surprise"]


def test_faces_led_by_contempt_are_counted_by_split(ferplus: Path) -> None:
    assert open_dataset(ferplus).contempt == (1, 0, 0)


def test_a_file_without_votes_is_a_source_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 48, 48), np.uint8), usage=np.zeros(1))
    with pytest.raises(SourceError, match="votes"):
        open_dataset(tmp_path / "x.npz")
    with pytest.raises(SourceError, match=r"missing\.npz"):
        open_dataset(tmp_path / "missing.npz")


def test_score_counts_by_class() -> None:
    labels = np.array([0, 0, 3, 6])
    logits = np.eye(7)[[0, 3, 3, 6]]
    result = score(logits, labels)
    assert result.images == 4
    assert result.accuracy == 0.75
    assert result.recall[0] == 0.5
    assert result.precision[3] == 0.5
    assert result.f1[0] == pytest.approx(2 / 3)
    assert result.counts == (2, 0, 0, 1, 0, 0, 1)
    assert np.isnan(result.recall[1])
    assert np.isnan(result.f1[1])
    assert agreement(logits, np.eye(7)[[0, 0, 3, 6]]) == 0.75


def test_a_face_that_is_not_found_lowers_recall_but_no_precision() -> None:
    matrix = confusion(np.array([0, NOT_FOUND, 0]), np.array([0, 0, 1]))
    assert matrix[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 1]
    result = score_of(matrix)
    assert result.accuracy == pytest.approx(1 / 3)
    assert result.recall[:2] == (0.5, 0.0)
    assert result.precision[0] == 0.5


def test_scores_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels = random_answers(300, 1)
    named, result = logits.argmax(axis=1), score(logits, labels)
    expected = metrics.precision_recall_fscore_support(labels, named, labels=range(7))
    for ours, theirs in zip((result.precision, result.recall, result.f1, result.counts), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)
    np.testing.assert_array_equal(confusion(named, labels)[:, :7], metrics.confusion_matrix(labels, named))
    assert np.mean(result.recall) == pytest.approx(metrics.balanced_accuracy_score(labels, named))
    chances = np.exp(log_probabilities(logits, 1.3))
    assert negative_log_likelihood(logits, labels, 1.3) == pytest.approx(metrics.log_loss(labels, chances))
    each = [metrics.brier_score_loss(labels == index, chances[:, index]) for index in range(7)]
    assert brier(chances, labels) == pytest.approx(sum(each))


def test_wilsons_interval_is_the_published_one() -> None:
    """81 of 263: 0.2553 to 0.3662 (Newcombe, "Two-sided confidence intervals for the single proportion", 1998)."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 10)[0] == pytest.approx(0)
    assert wilson(10, 10)[1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("cells", "interval"),
    [((14, 5, 0, 22), (0.011, 0.226)), ((36, 12, 2, 0), (0.0569, 0.3404))],
)
def test_the_paired_interval_is_the_published_one(
    cells: tuple[int, int, int, int], interval: tuple[float, float]
) -> None:
    """Altman et al., "Statistics with Confidence", 2000, table 6.2, and Newcombe 1998, method 10."""
    first, second = (np.repeat(pattern, cells) for pattern in ([True, True, False, False], [True, False, True, False]))
    difference, found = paired_difference(first, second)
    assert difference == pytest.approx((cells[1] - cells[2]) / sum(cells))
    assert found == pytest.approx(interval, abs=1e-3)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_paired_interval_holds_the_difference_and_turns_with_the_order(pairs: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pairs).T
    difference, (low, high) = paired_difference(first, second)
    assert low - 1e-12 <= difference <= high + 1e-12
    turned, (turned_low, turned_high) = paired_difference(second, first)
    assert (turned, turned_low, turned_high) == pytest.approx((-difference, -high, -low))


def test_bins_have_equal_mass_and_their_gaps_make_the_error() -> None:
    chances = np.full((4, 7), 0.0)
    chances[:, 2] = (0.9, 0.6, 0.8, 0.5)
    bins = reliability(chances, np.array([2, 0, 2, 2]), bins=2)
    assert [part.faces for part in bins] == [2, 2]
    assert [part.confidence for part in bins] == pytest.approx([0.55, 0.85])
    assert [part.accuracy for part in bins] == [0.5, 1.0]
    assert calibration_error(bins) == pytest.approx((0.05 + 0.15) / 2)
    assert sum(part.faces for part in reliability(chances, np.zeros(4, np.int64))) == 4


def test_sound_probabilities_are_calibrated_and_sharpened_ones_are_not() -> None:
    logits, labels = random_answers(4000, 2)
    errors = [calibration_error(reliability(np.exp(log_probabilities(logits, t)), labels)) for t in (1.0, 0.4)]
    assert errors[0] < 0.03
    assert errors[1] > 0.1


def test_the_fitted_temperature_is_the_one_the_logits_were_made_with() -> None:
    sound, labels = random_answers(4000, 0)
    temperature = fit_temperature(sound * 2.5, labels)
    assert temperature == pytest.approx(2.5, abs=0.15)
    assert negative_log_likelihood(sound * 2.5, labels, temperature) < negative_log_likelihood(sound * 2.5, labels, 1.0)


def test_labels_are_guesses_where_fewer_than_half_are_right() -> None:
    """40 faces at each of two confidences: 0.42 with 15 right, 0.77 with 30 right."""
    confidence = np.repeat([0.42, 0.77], 40)
    probabilities = np.column_stack([confidence, *[(1 - confidence) / 6] * 6])
    labels = np.concatenate([np.arange(40) >= 15, np.arange(40) >= 30]).astype(np.int64)
    assert guessing_below(np.log(probabilities), labels, 1.0) == 0.45
    assert guessing_below(np.log(probabilities), np.zeros(80, np.int64), 1.0) is None, "always right"
    assert guessing_below(np.log(probabilities[:20]), labels[:20] + 1, 1.0) is None, "too few to say"
    sure = np.where(np.arange(7) == 3, 0.0, -900.0) * np.ones((50, 1))
    assert guessing_below(sure, np.zeros(50, np.int64), 1.0) == 0.95, "wrong and sure of it"
