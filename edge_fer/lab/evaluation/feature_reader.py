"""A classifier on the processor that gives its features beside its logits."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import ModelError
from edge_fer.expression.outputs import find_outputs
from edge_fer.inference import TensorSpec, open_backend
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_parts import FurtherOutput
from edge_fer.inference.preprocessor import Preprocessor
from edge_fer.inference.quantization import dequantize
from edge_fer.lab.tflite.further_output import with_features
from edge_fer.types import LABELS, Image


class FeatureReader(Closeable):
    """Reads single faces; a file that gives labels alone is opened with its features as a second output.

    Args:
        name: the classifier's name in the manifest.
        spec: its entry there.
        content: of its .tflite file.

    Attributes:
        name: the classifier's name in the manifest.
        size: side of the face that it takes, pixels.
        colour: whether it takes faces in colour.
        width: how many features it gives.
        features: their tensor: type, scale and zero point.
        fingerprint: hash of what decides its answers, the same before and after its file gives features.

    Raises:
        ModelError: when it is no network of the seven labels that gives logits of one picture.
    """

    def __init__(self, name: str, spec: ClassifierSpec, content: bytes) -> None:
        if spec.branch or spec.region or spec.labels != LABELS or spec.output != "logits":
            raise ModelError(
                f"expected a network of the labels {', '.join(LABELS)} that gives logits of the whole picture alone, "
                f"found `{name}`, which does otherwise; choose another --model"
            )
        content, self.width = with_features(content)
        self.fingerprint = hashlib.sha256(content).hexdigest()
        spec = spec.model_copy(update={"features": FurtherOutput(width=self.width)})
        self.name, self.size, self.colour = name, spec.input.size, spec.input.colour != "grey"
        self._backend = open_backend("cpu", content)
        self._preprocessor = Preprocessor(name, spec.input, self._backend.inputs)
        self._places = find_outputs(name, spec, self._backend.outputs)
        self.features: TensorSpec = self._backend.outputs[self._places["features"]]
        self._logits = self._backend.outputs[self._places["labels"]]
        assert math.prod(self.features.shape) == self.width

    def read(self, face: Image) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """What it says of one face.

        Args:
            face: uint8: `(size, size)` grey, or `(size, size, 3)` BGR where `colour` is true.

        Returns:
            Features `(width,)` as the file gives them, quantized or not, and logits `(7,)`, real.

        Raises:
            BackendError: when the network fails.
        """
        outputs = self._backend.infer(self._preprocessor.prepare(face))
        logits = dequantize(outputs[self._places["labels"]].reshape(-1), self._logits)
        return outputs[self._places["features"]].reshape(-1), logits

    def close(self) -> None:
        """Release the network."""
        self._backend.close()
