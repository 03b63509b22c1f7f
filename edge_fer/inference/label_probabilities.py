"""From the logits of a network's own labels to calibrated probabilities over the seven expressions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_fer.types import LABELS


class LabelProbabilities:
    """Makes probabilities of logits, as a network's manifest entry says.

    Labels that the manifest leaves out are left out before the softmax, which scales the others to a sum of 1; those
    that it makes the same expression are added up after it.

    Args:
        targets: for each label of the network the one of the seven that it becomes; None where it is left out.
        temperature: logits are divided by it before the softmax.
    """

    def __init__(self, targets: Sequence[str | None], temperature: float) -> None:
        self._temperature = temperature
        self._kept = [place for place, target in enumerate(targets) if target is not None]
        self._merge = np.array([[float(targets[place] == label) for label in LABELS] for place in self._kept])

    def of_logits(self, values: NDArray[np.floating]) -> tuple[float, ...]:
        """Probabilities over the seven expressions, each 0..1, summing to 1.

        Args:
            values: `(labels,)`.
        """
        return self.of_many(np.asarray(values)[None])[0]

    def of_many(self, values: NDArray[np.floating]) -> list[tuple[float, ...]]:
        """The same of several faces.

        Args:
            values: `(n, labels)`.
        """
        kept = softmax(np.asarray(values, np.float64)[:, self._kept] / self._temperature)
        return [tuple(row) for row in (kept @ self._merge).tolist()]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of logits `(..., n)`; each row sums to 1."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
