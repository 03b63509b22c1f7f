"""Whether a classifier is what its manifest entry says."""

from __future__ import annotations

from edge_fer.expression.classifier import open_network
from edge_fer.inference.model_store import ModelStore


def verify_classifier(store: ModelStore, name: str) -> None:
    """Open a classifier on the CPU as a run does, and close it.

    Args:
        store: the folder of networks.
        name: the classifier's name in the manifest.

    Raises:
        ModelError: when its file is missing, corrupt or not what its entry says.
        BackendError: when the CPU's interpreter is missing.
    """
    open_network(store, name).close()
