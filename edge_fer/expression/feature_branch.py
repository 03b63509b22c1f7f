"""The second input of a network: hand-made features of the face, and the layers that join them with the picture's.

    picture  -> the network's file, on its device -> features -> dense 128 ---+
                                                                              +-> dense 7, the logits
    face 48x48 -> landmarks, HOG: 2,728 values -> dense 1024 -> dense 128 ----+

Only the first line runs on the device. What is here is numpy: 3 million products a face. EmoNet (Kumari), with the
standardisation of the features and all batch norms folded into the dense layers by `edge-fer lab export`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.common.text import first_line
from edge_fer.errors import ModelError
from edge_fer.expression.face_features import FEATURES, face_features, small_face
from edge_fer.expression.landmarks import LandmarkNetwork, open_landmarks
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.npz import unpacked
from edge_fer.types import Image

LAYERS = ("picture", "dense1", "dense2", "head")
"""Names of the dense layers: arrays `NAME.weight`, `(outputs, inputs)`, and `NAME.bias`."""

_MOST_BYTES = 64 << 20  # of all arrays, unpacked: EmoNet's are 13 MB


def open_branch(store: ModelStore, model: str, spec: ClassifierSpec) -> FeatureBranch | None:
    """What a classifier reads beside the picture.

    Args:
        store: the folder of networks.
        model: the classifier's name in the manifest, for messages.
        spec: its entry there.

    Returns:
        None for a classifier that reads the picture alone.

    Raises:
        ModelError: when its weights or its network of landmarks are missing, corrupt or not what was expected.
    """
    if spec.branch is None:
        return None
    layers = read_layers(store.read(spec.branch), model, spec)
    try:
        landmarks = open_landmarks(store, spec.branch.landmarks)
    except ModelError as error:
        needs = f"`{model}` reads 68 landmarks beside the picture"
        raise ModelError(f"{needs}: {error}; see docs/train-your-own.md") from error
    return FeatureBranch(layers, landmarks)


class BranchLayers:
    """The dense layers, each with a ReLU behind it but for the last.

    Args:
        arrays: float32 weights and biases by the names of `LAYERS`.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        self._arrays = dict(arrays)

    def logits(self, features: NDArray[np.floating], hand_made: NDArray[np.floating]) -> NDArray[np.float64]:
        """The logits of one face.

        Args:
            features: `(d,)`, what the network gives for the picture.
            hand_made: `(2728,)`, see `edge_fer.expression.face_features`.

        Returns:
            `(labels,)`.
        """
        picture = np.maximum(self._dense("picture", features), 0)
        second = np.maximum(self._dense("dense1", hand_made), 0)
        second = np.maximum(self._dense("dense2", second), 0)
        return self._dense("head", np.concatenate([picture, second])).astype(np.float64)

    def _dense(self, name: str, values: NDArray[np.floating]) -> NDArray[np.float32]:
        weight, bias = self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"]
        return np.asarray(weight @ values.astype(np.float32) + bias, np.float32)


class FeatureBranch(Closeable):
    """Makes logits of a network's features and of hand-made ones; several threads may ask it.

    Args:
        layers: the dense layers.
        landmarks: finds the landmarks; closed with this.
    """

    def __init__(self, layers: BranchLayers, landmarks: LandmarkNetwork) -> None:
        self._layers, self._landmarks = layers, landmarks

    def hand_made(self, face: Image) -> NDArray[np.float32]:
        """The 2,728 hand-made features of an aligned face.

        Args:
            face: uint8, square: grey, or BGR.

        Raises:
            BackendError: when the landmarks cannot be found.
        """
        small = small_face(face)
        return face_features(small, self._landmarks.find(small))

    def logits(self, features: NDArray[np.float64], face: Image) -> NDArray[np.float64]:
        """The `(labels,)` logits of one face.

        Args:
            features: `(d,)`, what the network gives for its picture.
            face: the picture, uint8, square: grey, or BGR.

        Raises:
            BackendError: when the landmarks cannot be found.
        """
        return self._layers.logits(features, self.hand_made(face))

    def close(self) -> None:
        """Release the landmarks' network."""
        self._landmarks.close()


def read_layers(content: bytes, model: str, spec: ClassifierSpec) -> BranchLayers:
    """The dense layers from a file.

    Args:
        content: of the .npz file.
        model: name of the classifier, for messages.
        spec: its manifest entry, which says how many features and labels there are.

    Raises:
        ModelError: when it holds anything else.
    """
    arrays = _read_arrays(content, model)
    wrong = f"expected the dense layers {', '.join(LAYERS)} for `{model}`, found"
    for name in LAYERS:
        weight, bias = arrays.get(f"{name}.weight"), arrays.get(f"{name}.bias")
        if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise ModelError(f"{wrong} no matrix and bias of `{name}`; export it anew")
    inputs, outputs = ({name: arrays[f"{name}.weight"].shape[side] for name in LAYERS} for side in (1, 0))
    assert spec.features is not None  # a branch has them, as the manifest is checked
    expected = {
        "picture": spec.features.width,
        "dense1": FEATURES,
        "dense2": outputs["dense1"],
        "head": outputs["picture"] + outputs["dense2"],
    }
    if inputs != expected or outputs["head"] != len(spec.labels):
        raise ModelError(f"{wrong} others, from {inputs} to {outputs['head']} labels; export it anew")
    return BranchLayers(arrays)


def _read_arrays(content: bytes, model: str) -> dict[str, NDArray[np.float32]]:
    """Every array of the file, float32 and finite."""
    try:
        found = unpacked(content, _MOST_BYTES)
    except Exception as error:  # the parsers of zip, numpy and Python raise a dozen kinds at damage
        wanted = f"expected the .npz of the second input of `{model}`"
        raise ModelError(f"{wanted}, found: {first_line(error)}; export it anew") from error
    for name, array in found.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise ModelError(f"expected float32 numbers in `{name}` of `{model}`, found others; export it anew")
    return found
