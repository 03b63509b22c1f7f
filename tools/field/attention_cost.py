"""What it costs to put the pictures of a face together: `python -m tools.field.attention_cost`. Not part of the tests.

Reads one face again and again by the shipped classifier on the CPU, and has the last 16 answers put together: as their
mean, and by a stand-in for an attention network, with the arithmetic of a Frame Attention Network on features of 512
and of 1,024 values. Prints the medians of both, a face a frame. Exit code 0 when putting together takes less than 0.5
ms each time; else 1.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_fer.expression import ExpressionModel
from edge_fer.expression.classifier import open_network
from edge_fer.expression.sequence import SequenceModel
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import AttendSettings, SmoothSettings
from edge_fer.types import AlignedFace, Expression, Origin, Quality

MOST_MS = 0.5
GOOD = Quality(eye_distance=40.0, blur=0.025, yaw=0.0, pitch=0.0)


@dataclass(frozen=True)
class Answer:
    """What the stand-in makes of several pictures; see `edge_fer.expression.sequence.Attended`."""

    weights: NDArray[np.float32]
    probabilities: NDArray[np.float32]


class StandIn:
    """The arithmetic of a Frame Attention Network (Meng et al. 2019), with numbers that nobody has trained.

    Args:
        width: how many features a picture has.
    """

    def __init__(self, width: int) -> None:
        rng = np.random.default_rng(0)
        self._first, self._second, self._head = (
            rng.normal(0, width**-0.5, shape).astype(np.float32) for shape in (width, 2 * width, (2 * width, 7))
        )

    def attend(self, features: NDArray[np.float32]) -> Answer:
        """See `edge_fer.expression.sequence.AttentionNetwork`."""
        alpha = 1 / (1 + np.exp(-(features @ self._first)))
        whole = np.broadcast_to(alpha @ features / alpha.sum(), features.shape)
        pairs = np.concatenate([features, whole], axis=1)
        weights = alpha / (1 + np.exp(-(pairs @ self._second)))
        weights /= weights.sum()
        powers = np.exp(weights @ pairs @ self._head)
        return Answer(weights, powers / powers.sum())


class Known(ExpressionModel):
    """Says at once what another model has said, whose own time varies by more than what is measured here."""

    origin = Origin("known", "cpu")

    def __init__(self, model: ExpressionModel, answer: Expression) -> None:
        self.size, self.crop, self._answer = model.size, model.crop, answer

    def classify(self, face: AlignedFace) -> Expression:
        """See `ExpressionModel.classify`."""
        return self._answer

    def close(self) -> None:
        """It holds nothing."""


def median_ms(classify: Callable[[AlignedFace], Expression], face: AlignedFace, count: int) -> float:
    """The median time of reading a face, milliseconds."""
    times = []
    for number in range(count):
        following = replace(face, frame=number, scene_ns=number * 33_000_000)
        began = time.perf_counter()
        classify(following)
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times[count // 10 :])


def main() -> int:
    """Measure, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="pictures of each kind")
    options = parser.parse_args()
    settings, limits = AttendSettings(), SmoothSettings()
    with open_network(ModelStore(), "se_resnet50") as network:
        face = replace(network.blank_face, quality=GOOD)
        alone = median_ms(network.classify, face, options.count)
        print(f"the classifier alone: {alone:.3f} ms a face")
        expression = network.classify(face)
    worst = 0.0
    for width in (0, 512, 1024):
        features = np.random.default_rng(1).normal(0, 1, width).astype(np.float32) if width else None
        answer = replace(expression, features=features)
        attention = StandIn(width) if width else None
        model = SequenceModel(Known(network, answer), settings, limits, attention, attention_of=network.model)
        took = median_ms(model.classify, face, 20 * options.count)
        worst = max(worst, took)
        print(f"{f'attention, {width:,} features' if width else 'mean'}: {took:.3f} ms more")
    well = worst < MOST_MS
    print("all is well" if well else "NOT as it should be")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
