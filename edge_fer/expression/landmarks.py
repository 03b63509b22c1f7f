"""The 68 landmarks of a small face, by a network: what hand-made features are made of where there is no dlib."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, ModelError
from edge_fer.expression.face_features import LANDMARK_FEATURES, LANDMARKS, SIDE
from edge_fer.inference import Backend, open_backend
from edge_fer.inference.manifest import LandmarksSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.preprocessor import Preprocessor
from edge_fer.inference.quantization import dequantize
from edge_fer.types import Image


def open_landmarks(store: ModelStore, model: str) -> LandmarkNetwork:
    """Load a network of landmarks onto the CPU.

    Args:
        store: the folder of networks.
        model: the network's name in the manifest.

    Raises:
        ModelError: when it is missing, corrupt or not what its manifest entry says.
    """
    spec = store.spec(model, "landmarks")
    backend = open_backend("cpu", store.load(model, "landmarks"))
    try:
        return LandmarkNetwork(model, spec, backend)
    except ModelError:
        backend.close()
        raise


class LandmarkNetwork(Closeable):
    """Finds landmarks; several threads may ask it.

    Args:
        model: its name in the manifest.
        spec: what the manifest says of it.
        backend: the device; closed with this.

    Raises:
        ModelError: when its input or output is not what the task takes.
    """

    def __init__(self, model: str, spec: LandmarksSpec, backend: Backend) -> None:
        widths = [int(np.prod(output.shape)) for output in backend.outputs]
        if widths != [LANDMARK_FEATURES] or spec.input.size != SIDE:
            raise ModelError(
                f"expected `{model}` to take {SIDE} pixels and give {LANDMARK_FEATURES} coordinates, found "
                f"{spec.input.size} pixels and {', '.join(map(str, widths))}; export it anew"
            )
        self._model, self._backend = model, backend
        self._preprocessor = Preprocessor(model, spec.input, backend.inputs)
        self._lock = threading.Lock()  # an interpreter is for one thread

    def find(self, face: Image) -> NDArray[np.float64]:
        """The landmarks of a face, in the order of iBUG 300-W.

        Args:
            face: `(48, 48)` uint8, grey; see `edge_fer.expression.face_features.small_face`.

        Returns:
            `(68, 2)`, x and y in pixels of it.

        Raises:
            BackendError: when the network fails, or gives no numbers.
        """
        with self._lock:
            answers = self._backend.infer(self._preprocessor.prepare(face))
        values = dequantize(answers[0], self._backend.outputs[0])
        if not np.isfinite(values).all():
            raise BackendError(f"expected landmarks from `{self._model}`, found values that are no numbers")
        return values.reshape(LANDMARKS, 2)

    def close(self) -> None:
        """Release the device."""
        self._backend.close()
