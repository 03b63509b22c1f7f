"""Rare labels named more often, by a vector that is added to the last bias.

A network that learned from faces of which 0.7 % show disgust hardly ever names it, since it is seldom right to.
Taking a part of the logarithm of each label's share off its logit makes up for that. Menon et al., "Long-tail learning
via logit adjustment", 2021, where the part is 1; how much pays is seen on validation faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_fer.lab.evaluation.metrics import score
from edge_fer.types import LABELS

PARTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def adjustment(labels: NDArray[np.int64], part: float) -> NDArray[np.float64]:
    """What is added to the logits, `(7,)`, with a mean of 0; nothing to a label without faces.

    Args:
        labels: `(n,)`, labels of the training faces.
        part: how much of the logarithm of their shares is taken off, 0..1.
    """
    counts = np.bincount(labels, minlength=len(LABELS))
    there = counts > 0
    logarithms = np.log(counts, where=there, out=np.zeros(len(LABELS)))
    return np.asarray(np.where(there, part * (logarithms[there].mean() - logarithms), 0.0))


def adjust(head: nn.Linear, labels: NDArray[np.int64], part: float) -> None:
    """Add the adjustment to a head's bias."""
    with torch.no_grad():
        head.bias += torch.from_numpy(adjustment(labels, part)).to(head.bias)


def lines(
    logits: NDArray[np.float64], labels: NDArray[np.int64], training: NDArray[np.int64], done: float
) -> Sequence[str]:
    """What each part would bring, a line each: accuracy, balanced accuracy, and the recall of each label.

    Args:
        logits: `(n, 7)`, of validation faces.
        labels: `(n,)`, theirs.
        training: labels of the training faces.
        done: the part that the logits have already.
    """
    found = []
    for part in sorted({*PARTS, done}):
        result = score(logits + adjustment(training, part - done), labels)
        shares = zip(LABELS, result.recall, strict=True)
        recalls = ", ".join(f"{label} {share:.0%}" for label, share in shares if not np.isnan(share))
        head = f"balance {part:g}{' (chosen)' if part == done else ''}"
        balanced = np.nanmean(result.recall)
        found.append(f"{head}: accuracy {result.accuracy:.2%}, balanced {balanced:.2%}; {recalls}")
    return found
