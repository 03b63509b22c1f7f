"""Whether a classifier is what its manifest entry says: opened on the CPU, it reads its golden faces."""

from __future__ import annotations

from contextlib import closing

from edge_fer.errors import ModelError
from edge_fer.expression.classifier import Classifier
from edge_fer.expression.golden_faces import golden_faces
from edge_fer.expression.outputs import are_probabilities
from edge_fer.inference import open_backend
from edge_fer.inference.model_store import ModelStore

_SUM_TOLERANCE = 1e-3
"""Logits of several pictures do not sum to 1 so exactly by chance."""


def verify_classifier(store: ModelStore, name: str) -> None:
    """Open a classifier and read its golden faces.

    Args:
        store: the folder of networks.
        name: the classifier's name in the manifest.

    Raises:
        ModelError: when its file is missing, corrupt or not what its entry says.
        BackendError: when the CPU cannot run it, or what it gives cannot be read.
    """
    spec = store.spec(name, "classify")
    with closing(open_backend("cpu", store.load(name, "classify"))) as backend:
        classifier = Classifier(name, spec, backend)
        values = [classifier.values(face.image) for face in golden_faces(spec)]
    if spec.output == "logits" and all(are_probabilities(each, _SUM_TOLERANCE) for each in values):
        raise ModelError(
            f"expected logits from `{name}`, found numbers that sum to 1: its softmax is inside; state "
            "`output: probabilities` in its manifest entry"
        )
