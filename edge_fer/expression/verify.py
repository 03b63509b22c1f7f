"""Whether what reads expressions is what its manifest entry says."""

from __future__ import annotations

from edge_fer.expression.attention import open_attention
from edge_fer.expression.classifier import open_network
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import ClassifySettings


def verify_expression_model(store: ModelStore, name: str) -> None:
    """Open a classifier or an ensemble on the CPU as a run does, and close it.

    Args:
        store: the folder of networks.
        name: its name in the manifest.

    Raises:
        ModelError: when there is none of that name, or a file is missing, corrupt or not what its entry says.
        BackendError: when the CPU's interpreter is missing.
    """
    if isinstance(store.expression_model(name), ClassifierSpec):
        verify_classifier(store, name)
    else:
        with open_expression_model(ClassifySettings(model=name, backend="cpu"), store) as ensemble:
            ensemble.classify(ensemble.blank_face)


def verify_classifier(store: ModelStore, name: str) -> None:
    """Open a classifier on the CPU as a run does, with the attention over its features, and close it.

    Args:
        store: the folder of networks.
        name: the classifier's name in the manifest.

    Raises:
        ModelError: when a file is missing, corrupt or not what its entry says.
        BackendError: when the CPU's interpreter is missing.
    """
    open_attention(store, name)
    open_network(store, name).close()
