"""A second output of a classifier's file: the features that its last layer reads. Nothing else in the file changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.lab.tflite.graph import Graph, Node, pack, read


def with_features(content: bytes) -> tuple[bytes, int]:
    """A classifier's file that gives the input of its last dense layer behind its labels.

    Weights, operators and the labels' output stay as they are, so that labels stay equal bit for bit. An Edge TPU's
    compiler must be given this file, not the one before it.

    Args:
        content: of a .tflite file with one output, or with the features behind it already.

    Returns:
        The content of the file, and how many features it gives.

    Raises:
        ModelError: when it is no such file.
    """
    graph = Graph(content)
    features = _last(graph).inputs[0]
    width = graph.size(features)
    if graph.outputs[1:] == (features,):
        return content, width
    if len(graph.outputs) != 1:
        raise ModelError(f"expected a classifier with one output, found {len(graph.outputs)}; export it without others")
    model = read(content)
    model.subgraphs[0].outputs = np.array([*graph.outputs, features], np.int32)
    for signature in model.signatureDefs or ():
        entry = type(signature.outputs[0])()
        entry.name, entry.tensorIndex = b"features", features
        signature.outputs.append(entry)
    return pack(model), width


def last_layer(content: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight `(labels, d)` and bias `(labels,)` of a classifier's last dense layer, real values.

    Args:
        content: of its .tflite file.

    Raises:
        ModelError: when it has no such layer.
    """
    graph = Graph(content)
    _, weight, bias = _last(graph).inputs
    return graph.real_values(weight), graph.real_values(bias)


def _last(graph: Graph) -> Node:
    """The dense layer that gives the labels."""
    found = graph.producer(graph.outputs[0]) if graph.outputs else None
    if found is None or found.name != "FULLY_CONNECTED" or len(found.inputs) != 3:
        raise ModelError(
            "expected a classifier whose last operator is a dense layer with a bias (FULLY_CONNECTED), found "
            f"{found.name if found else 'none'}; export it with `edge-fer lab export --features`"
        )
    return found
