"""Rare labels named more often, by a vector that is added to the last bias."""

from __future__ import annotations

import numpy as np
import pytest

from edge_fer.lab.export.balance import adjustment, lines

pytestmark = pytest.mark.lab

TRAINING = np.repeat(np.arange(6), [100, 1, 10, 10, 10, 100])


def test_the_rarer_a_label_the_more_is_added() -> None:
    added = adjustment(TRAINING, 0.5)
    assert added[1] - added[0] == pytest.approx(0.5 * np.log(100))
    assert added[:6].sum() == pytest.approx(0)
    assert added[6] == 0, "a label without faces was given something"
    assert not adjustment(TRAINING, 0.0).any()


def test_a_line_tells_what_a_part_brings() -> None:
    labels = np.array([0, 0, 1, 1])
    logits = np.zeros((4, 7))
    logits[:, 0], logits[2:, 1] = 1.0, 0.9
    first, *_, last = lines(logits, labels, TRAINING, 0.0)
    assert first.startswith("balance 0 (chosen): accuracy 50.00%, balanced 50.00%; anger 100%, disgust 0%")
    assert "accuracy 50.00%" in last
    assert "disgust 100%" in last
    again = lines(logits + adjustment(TRAINING, 0.3), labels, TRAINING, 0.3)
    assert again[0] == first.replace(" (chosen)", "")
    assert "balance 0.3 (chosen)" in again[3]
