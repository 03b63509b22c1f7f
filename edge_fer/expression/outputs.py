"""From the outputs of a classifier's network to probabilities over the seven expressions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import BackendError, ModelError
from edge_fer.expression.feature_branch import FeatureBranch
from edge_fer.inference import TensorSpec
from edge_fer.inference.label_probabilities import LabelProbabilities
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_parts import FurtherOutput
from edge_fer.inference.quantization import dequantize
from edge_fer.types import Image

_SUM_TOLERANCE = 0.1
"""How far the sum of probabilities may be from 1: rounding to int8 adds up over the labels."""

_SOFTMAX_TOLERANCE = 1e-3
"""How far the sum of a float softmax may be from 1; logits of several faces are not so near by chance."""


class LabelOutput:
    """Reads the labels' output of one network.

    Args:
        model: the network's name in the manifest, for messages.
        spec: what the manifest says of it.
        outputs: what the network gives.
        branch: makes logits of the network's features, where the manifest says that they are made outside of it.

    Raises:
        ModelError: when the two do not fit together.
    """

    def __init__(
        self, model: str, spec: ClassifierSpec, outputs: Sequence[TensorSpec], branch: FeatureBranch | None = None
    ) -> None:
        assert (branch is None) == (spec.branch is None)
        self._model, self._branch = model, branch
        self._place = find_outputs(model, spec, outputs)["features" if branch else "labels"]
        self._tensor = outputs[self._place]
        self._are_probabilities = spec.output == "probabilities"
        self._calibrated = LabelProbabilities(spec.targets, spec.temperature)

    def values(self, answers: Sequence[NDArray[Any]], face: Image) -> NDArray[np.float64]:
        """What the network gives for its own labels.

        Args:
            answers: its outputs.
            face: what it was given, aligned, uint8.

        Returns:
            `(labels,)`: logits or probabilities, as the manifest says.

        Raises:
            BackendError: when they are not numbers, or not probabilities although the manifest says so.
        """
        values = dequantize(answers[self._place].reshape(-1), self._tensor)
        if self._branch is not None:
            values = self._branch.logits(values, face)
        if not np.isfinite(values).all():
            raise BackendError(
                f"expected numbers from `{self._model}`, found {np.array2string(values, precision=3)}; the file is "
                "broken, or `mean` and `std` in its manifest entry are not those of its training"
            )
        if self._are_probabilities and not are_probabilities(values, _SUM_TOLERANCE):
            raise BackendError(
                f"expected probabilities from `{self._model}`, found {np.array2string(values, precision=3)}; state "
                "`output: logits` in its manifest entry"
            )
        return values

    def verify(self, readings: Sequence[NDArray[np.float64]]) -> None:
        """Check what the network gives for several faces.

        Args:
            readings: from `values`, `(labels,)` each, of faces that the network should read differently.

        Raises:
            ModelError: when they are all the same, or probabilities although the manifest says logits.
        """
        if all(np.array_equal(values, readings[0]) for values in readings):
            raise ModelError(
                f"expected `{self._model}` to read different faces differently, found "
                f"{np.array2string(readings[0], precision=3)} for each; correct `mean` and `std` in its manifest "
                "entry, or export it anew"
            )
        tolerance = _SOFTMAX_TOLERANCE + self._tensor.scale / 2 * len(readings[0])  # each is rounded to its scale
        if not self._are_probabilities and all(are_probabilities(values, tolerance) for values in readings):
            raise ModelError(
                f"expected logits from `{self._model}`, found numbers that sum to 1: its softmax is inside; state "
                "`output: probabilities` in its manifest entry"
            )

    def probabilities(self, values: NDArray[np.float64]) -> tuple[float, ...]:
        """Probabilities over the seven expressions; see `LabelProbabilities`.

        Args:
            values: `(labels,)`, from `values`.
        """
        if self._are_probabilities:
            values = np.log(np.maximum(values, np.finfo(np.float64).tiny))
        return self._calibrated.of_logits(values)


class FeaturesOutput:
    """Reads the features' output of one network: a face as the network describes it.

    Args:
        model: the network's name in the manifest, for messages.
        spec: what the manifest says of it, features included.
        outputs: what the network gives.

    Raises:
        ModelError: when the two do not fit together.
    """

    def __init__(self, model: str, spec: ClassifierSpec, outputs: Sequence[TensorSpec]) -> None:
        self._model, self._place = model, find_outputs(model, spec, outputs)["features"]
        self._tensor = outputs[self._place]

    def features(self, answers: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """The features of one face, `(d,)`.

        Args:
            answers: the network's outputs.

        Raises:
            BackendError: when they are not numbers.
        """
        features = dequantize(answers[self._place].reshape(-1), self._tensor).astype(np.float32)
        if not np.isfinite(features).all():
            raise BackendError(f"expected numbers as features from `{self._model}`, found others; the file is broken")
        return features


def find_outputs(model: str, spec: ClassifierSpec, outputs: Sequence[TensorSpec]) -> dict[str, int]:
    """Which output of a network is which: found by its name where the manifest states one, else by its width.

    Args:
        model: the network's name in the manifest, for messages.
        spec: what the manifest says of it.
        outputs: what the network gives.

    Returns:
        The place in `outputs` of `labels` (unless they are made outside of the network), and of `features` and
        `valence_arousal` where there are any.

    Raises:
        ModelError: when one is missing or ambiguous, or the network has others.
    """
    stated = {"features": spec.features, "valence_arousal": spec.valence_arousal}
    wanted = {} if spec.branch else {"labels": FurtherOutput(width=len(spec.labels))}
    wanted |= {name: output for name, output in stated.items() if output is not None}
    places: dict[str, int] = {}
    for name, output in sorted(wanted.items(), key=lambda item: item[1].name is None):
        fitting = [place for place, tensor in enumerate(outputs) if _fits(tensor, output)]
        free = [place for place in fitting if place not in places.values()]
        if len(free) == 1:
            places[name] = free[0]
    if len(places) == len(wanted) == len(outputs):
        return places
    expected = ", ".join(f"{output.width} {name}" for name, output in wanted.items())
    found = ", ".join(f"{math.prod(tensor.shape)} (`{tensor.name}`)" for tensor in outputs)
    raise ModelError(
        f"expected `{model}` to give {expected}, found {found}; correct `labels`, `features` or `valence_arousal` in "
        "its manifest entry"
    )


def _fits(tensor: TensorSpec, output: FurtherOutput) -> bool:
    return math.prod(tensor.shape) == output.width and output.name in {None, tensor.name}


def are_probabilities(values: NDArray[np.float64], tolerance: float) -> bool:
    """Whether values are all 0..1 and sum to 1, within a tolerance."""
    return bool(values.min() >= -tolerance and abs(values.sum() - 1) <= tolerance)
