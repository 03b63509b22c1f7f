"""Many frames of one face, one answer: a Frame Attention Network's two attentions on a classifier's features.

Meng et al., "Frame Attention Networks for Facial Expression Recognition in Videos", 2019. Each frame gets a weight by
what it shows itself; their weighted mean says what the track shows; how each frame relates to that changes its weight.
Sixteen frames of 1024 features are 50 thousand products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.text import first_line
from edge_fer.errors import ModelError
from edge_fer.inference.label_probabilities import softmax
from edge_fer.inference.manifest_aggregate import AggregateSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.npz import unpacked
from edge_fer.types import LABELS

_MOST_BYTES = 4 << 20  # of all arrays, unpacked: those of 1024 features are 80 kB


@dataclass(frozen=True, slots=True)
class Attended:
    """What the frames of a track say together.

    Attributes:
        weights: `(n,)` float32, how much each frame counts, summing to 1.
        probabilities: `(7,)` float32 over `LABELS`, calibrated, summing to 1.
    """

    weights: NDArray[np.float32]
    probabilities: NDArray[np.float32]


class Attention:
    """Weighs frames; several threads may ask it.

    Args:
        arrays: float32, for d features: `self.weight` `(d,)` and `self.bias` `()`; `relation.weight` `(2d,)` and
            `relation.bias` `()`; `head.weight` `(7, 2d)` and `head.bias` `(7,)`; `temperature` `()`.

    Attributes:
        width: how many features each frame has.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        self.width = len(arrays["self.weight"])
        self._own, self._own_bias = arrays["self.weight"], arrays["self.bias"]
        self._relation_bias = arrays["relation.bias"]
        self._relation, self._relation_to = np.split(arrays["relation.weight"], 2)
        self._head, self._head_of_all = np.split(arrays["head.weight"], 2, axis=1)
        self._head_bias, self._temperature = arrays["head.bias"], float(arrays["temperature"])

    def attend(self, features: NDArray[np.float32]) -> Attended:
        """Weigh the frames of one track, and read them together. Their order does not matter.

        Args:
            features: `(n, width)` float32, real, at least one frame.
        """
        # The published sigmoids, divided by their sum, as a softmax of their logarithms: they may all be nearly 0.
        own = _log_sigmoid(features @ self._own + self._own_bias)
        mean = softmax(own).astype(np.float32) @ features
        related = features @ self._relation + (mean @ self._relation_to + self._relation_bias)
        weights = softmax(own + _log_sigmoid(related)).astype(np.float32)
        # The frames' part and the mean's part of the published concatenation; the weights of the latter sum to 1.
        logits = self._head @ (weights @ features) + self._head_of_all @ mean + self._head_bias
        probabilities = softmax(logits.astype(np.float64) / self._temperature)
        return Attended(weights, probabilities.astype(np.float32))


def open_attention(store: ModelStore, model: str) -> Attention | None:
    """The attention over a classifier's features.

    Args:
        store: the folder of networks.
        model: the classifier's name in the manifest.

    Returns:
        None where the folder has none for it.

    Raises:
        ModelError: when its file is missing, corrupt or not what was expected.
    """
    specs = (spec for spec in store.specs.values() if isinstance(spec, AggregateSpec) and spec.of == model)
    spec = next(specs, None)
    if spec is None:
        return None
    features = store.spec(model, "classify").features
    assert features is not None  # as the manifest is checked
    return read_attention(store.read(spec.files[0]), spec.file, features.width)


def read_attention(content: bytes, file: str, width: int) -> Attention:
    """The attention from a file.

    Args:
        content: of the .npz file.
        file: its name, for messages.
        width: how many features the classifier gives.

    Raises:
        ModelError: when it holds anything else than an attention over so many features.
    """
    try:
        arrays = unpacked(content, _MOST_BYTES)
    except Exception as error:  # the parsers of zip, numpy and Python raise a dozen kinds at damage
        raise ModelError(
            f"expected the .npz of an attention in {file}, found: {first_line(error)}; make it again"
        ) from error
    expected = _shapes(width)
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != expected:
        wrong = min(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
        raise ModelError(
            f"expected an attention over {width} features in {file}, `{wrong}` of shape {expected.get(wrong)}, found "
            f"{shapes.get(wrong)}; it is another classifier's, or damaged: make it again"
        )
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise ModelError(f"expected float32 numbers in `{name}` of {file}, found others; make it again")
    if arrays["temperature"] <= 0:
        raise ModelError(
            f"expected a temperature above 0 in {file}, found {float(arrays['temperature']):g}; make it again"
        )
    return Attention(arrays)


def _shapes(width: int) -> dict[str, tuple[int, ...]]:
    return {
        "self.weight": (width,),
        "self.bias": (),
        "relation.weight": (2 * width,),
        "relation.bias": (),
        "head.weight": (len(LABELS), 2 * width),
        "head.bias": (len(LABELS),),
        "temperature": (),
    }


def _log_sigmoid(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return -np.logaddexp(0.0, -values.astype(np.float64))
