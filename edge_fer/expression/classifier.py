"""From an aligned face to probabilities over the seven expressions.

Quantization lives here and nowhere else, and is read from the model: a grey pixel has 256
values, so standardisation and quantization together are one table of 256 entries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.expression import ExpressionModel
from edge_fer.inference import Backend, TensorSpec, open_backend
from edge_fer.inference.model_store import CropSpec, InputSpec, ModelSpec, ModelStore
from edge_fer.settings import ClassifySettings
from edge_fer.types import LABELS, AlignedFace, Expression, Origin


def open_classifier(settings: ClassifySettings, store: ModelStore) -> Classifier:
    """Load the classifier that the settings name onto the CPU, or onto the fake device where they name that one.

    Whoever may use an Edge TPU calls `open_expression_model`.

    Raises:
        ModelError: when the model is missing, corrupt or no classifier of this runtime.
        BackendError: when the device is missing or cannot run it.
    """
    spec = store.spec(settings.model, "classify")
    backend = open_backend(settings.backend, store.load(settings.model, "classify"), threads=settings.threads)
    return Classifier(settings.model, spec, backend)


class Classifier(ExpressionModel):
    """One classifier on one device.

    Attributes:
        model: its name in the manifest.
        (the others are those of `ExpressionModel`)

    Args:
        model: its name in the manifest.
        spec: what the manifest says of it.
        backend: the device; closed with the classifier.
        reason: why it is not the device that should read faces; null when it is.

    Raises:
        ModelError: when the network's input or output is not what the manifest says.
    """

    def __init__(self, model: str, spec: ModelSpec, backend: Backend, reason: str | None = None) -> None:
        self.model = model
        self._reason = reason
        self.size, self.crop = _check(model, spec, backend)
        self._temperature, self._abstain_below = spec.temperature, spec.abstain_below
        self._backend = backend
        self._table = quantization_table(spec.input, backend.input)

    @property
    def backend(self) -> str:
        """Name of the device."""
        return self._backend.name

    @property
    def origin(self) -> Origin:
        """What reads faces, and why it is not what should, if so."""
        return Origin(self.model, self._backend.name, self._reason)

    @property
    def input(self) -> TensorSpec:
        """What the network takes."""
        return self._backend.input

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the network gives."""
        return self._backend.outputs

    def classify(self, face: AlignedFace) -> Expression:
        """Read one face; see `ExpressionModel.classify`."""
        channels = self._backend.input.shape[3]
        batch = np.repeat(self._table[face.image][np.newaxis, :, :, np.newaxis], channels, axis=3)
        (answer,) = self._backend.infer(batch)
        logits = dequantize(answer[0], self._backend.outputs[0])
        probabilities = tuple(softmax(logits / self._temperature).tolist())
        return Expression(probabilities, self.origin, self._abstain_below)

    def close(self) -> None:
        """Give the device back."""
        self._backend.close()


def quantization_table(picture: InputSpec, tensor: TensorSpec) -> NDArray[Any]:
    """What each grey value becomes at the network's input.

    Args:
        picture: the standardisation that the network was trained with.
        tensor: its input; a float tensor takes the standardised value as it is.

    Returns:
        `(256,)` of the tensor's dtype.
    """
    real = (np.arange(256) / 255 - picture.mean) / picture.std
    if tensor.scale == 0:
        return real.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    levels = np.round(real / tensor.scale) + tensor.zero_point
    return levels.clip(limits.min, limits.max).astype(tensor.dtype)


def dequantize(values: NDArray[Any], tensor: TensorSpec) -> NDArray[np.float64]:
    """Real values of a network's output; a float tensor's are real already."""
    if tensor.scale == 0:
        return values.astype(np.float64)
    return (values.astype(np.float64) - tensor.zero_point) * tensor.scale


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of logits `(n,)`; they sum to 1."""
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def _check(model: str, spec: ModelSpec, backend: Backend) -> tuple[int, CropSpec]:
    """Input size and crop, once the file and the manifest agree that this is a grey classifier."""
    size, crop = spec.input.size, spec.crop
    if size is None or crop is None or spec.labels != LABELS or spec.input.colour != "grey":
        raise ModelError(f"expected `{model}` to be a grey classifier of {', '.join(LABELS)} with a size and a crop; "
                         "its manifest entry says otherwise")  # fmt: skip
    found = (backend.input.shape, *(output.shape for output in backend.outputs))
    expected = ((1, size, size, 3), (1, len(LABELS)))
    if found != expected:
        raise ModelError(f"expected `{model}` to take and give {expected}, found {found}; the file is another model's")
    return size, crop
