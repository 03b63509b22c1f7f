"""Labels by FER+'s convention, and the arithmetic of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_fer.errors import SourceError
from edge_fer.lab.data import Usage, load_ferplus
from edge_fer.lab.evaluate import agreement, fit_temperature, negative_log_likelihood, score
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
        (votes(ANGER=8, NEUTRAL=2), Usage.TRAINING),
        (votes(CONTEMPT=6, SADNESS=4), Usage.TRAINING),
        (votes(NO_FACE=10), Usage.TRAINING),
        (votes(FEAR=2, **dict.fromkeys(("NEUTRAL", "HAPPINESS", "SADNESS"), 1)), Usage.TRAINING),
        (votes(SURPRISE=5, UNKNOWN=4), Usage.VALIDATION),
    ]
    x = np.arange(len(rows), dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    path = tmp_path / "faces.npz"
    np.savez(path, x=x, votes=np.stack([row for row, _ in rows]), usage=np.array([usage for _, usage in rows]))
    return path


def test_faces_whose_leading_vote_is_none_of_the_seven_are_left_out(ferplus: Path) -> None:
    faces = load_ferplus(ferplus, Usage.TRAINING)
    assert [LABELS[label] for label in faces.labels] == ["anger", "fear"]
    assert faces.images[:, 0, 0].tolist() == [0, 3]
    assert [LABELS[label] for label in load_ferplus(ferplus, Usage.VALIDATION).labels] == ["surprise"]


def test_a_file_without_votes_is_a_source_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 48, 48), np.uint8), usage=np.zeros(1))
    with pytest.raises(SourceError, match="votes"):
        load_ferplus(tmp_path / "x.npz", Usage.TRAINING)
    with pytest.raises(SourceError, match=r"missing\.npz"):
        load_ferplus(tmp_path / "missing.npz", Usage.TRAINING)


def test_score_counts_by_class() -> None:
    labels = np.array([0, 0, 3, 6])
    logits = np.eye(7)[[0, 3, 3, 6]]
    result = score(logits, labels)
    assert result.images == 4
    assert result.accuracy == 0.75
    assert result.recall[0] == 0.5
    assert result.precision[3] == 0.5
    assert result.counts == (2, 0, 0, 1, 0, 0, 1)
    assert np.isnan(result.recall[1])
    assert agreement(logits, np.eye(7)[[0, 0, 3, 6]]) == 0.75


def test_the_fitted_temperature_is_the_one_the_logits_were_made_with() -> None:
    generator = np.random.default_rng(0)
    sound = generator.normal(0, 2, (4000, 7))
    chances = np.exp(sound) / np.exp(sound).sum(axis=1, keepdims=True)
    labels = np.array([generator.choice(7, p=row) for row in chances])
    temperature = fit_temperature(sound * 2.5, labels)
    assert temperature == pytest.approx(2.5, abs=0.15)
    assert negative_log_likelihood(sound * 2.5, labels, temperature) < negative_log_likelihood(sound * 2.5, labels, 1.0)
