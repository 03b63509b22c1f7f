"""The rules that a full-INT8 graph must keep for the Edge TPU, each a small function.

A rule looks at one node (or tensor) and yields what is wrong with it, as a phrase.
"""

from __future__ import annotations

from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as schema

from edge_fer.errors import ModelError
from edge_fer.lab.graph import NEWEST_VERSION, Graph, Node, outside_buffers

_MAX_LISTED = 8


def check_int8(content: bytes) -> Graph:
    """Check a classifier against every rule.

    Returns:
        The graph, for whoever wants to describe it.

    Raises:
        ModelError: with all violations (the first few spelled out) in one line.
    """
    graph = Graph(content)
    outside = outside_buffers(content)
    found = [f"{outside} constants lie behind the graph"] if outside else []
    found += violations(graph)
    if found:
        more = f"; and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
        raise ModelError(
            f"expected a full-INT8 graph for the Edge TPU, found {len(found)} violations: "
            f"{'; '.join(found[:_MAX_LISTED])}{more}; change the network or the recipe and export again"
        )
    return graph


def violations(graph: Graph) -> Iterator[str]:
    """Everything about a graph that breaks a rule."""
    for tensor in (*graph.inputs, *graph.outputs):
        if graph.type(tensor) != "INT8":
            yield f"input or output tensor {tensor} is {graph.type(tensor)}, not INT8"
    for number, node in enumerate(graph.nodes):
        for rule in (_operator, _types, _shapes, _weights, _options, _reduction, _excitation):
            yield from (f"{node.name} #{number}: {problem}" for problem in rule(graph, node))


def _operator(_: Graph, node: Node) -> Iterator[str]:
    newest = NEWEST_VERSION.get(node.name)
    if newest is None:
        yield "the Edge TPU has no such operator"
    elif node.version > newest:
        yield f"version {node.version} is newer than TensorFlow 2.5's {newest}"


def _types(graph: Graph, node: Node) -> Iterator[str]:
    for tensor in (*node.inputs, *node.outputs):
        found = graph.type(tensor)
        if found != "INT8" and not (found == "INT32" and graph.is_constant(tensor)):
            yield f"tensor {tensor} is {found}, not INT8"
        elif found == "INT8" and graph.scales(tensor) == 0:
            yield f"tensor {tensor} has no scale"


def _shapes(graph: Graph, node: Node) -> Iterator[str]:
    for tensor in (*node.inputs, *node.outputs):
        shape = graph.shape(tensor)
        if -1 in shape:
            yield f"tensor {tensor} has the open shape {shape}"
        elif not graph.is_constant(tensor) and any(size > 1 for size in shape[:-3]):
            yield f"tensor {tensor} of shape {shape} is above 1 outside the three innermost dimensions"


def _weights(graph: Graph, node: Node) -> Iterator[str]:
    if node.name not in ("CONV_2D", "FULLY_CONNECTED"):
        return
    kernel = node.inputs[1]
    expected = graph.shape(kernel)[0] if node.name == "CONV_2D" else 1
    if not graph.is_constant(kernel):
        yield "its weights are not constant"
    elif graph.scales(kernel) != expected:
        yield f"its weights have {graph.scales(kernel)} scales, not {expected}"


def _options(graph: Graph, node: Node) -> Iterator[str]:
    options = node.options
    if node.name in ("MAX_POOL_2D", "AVERAGE_POOL_2D") and options.fusedActivationFunction:
        yield "pooling has a fused activation"
    if node.name == "CONV_2D" and options.dilationHFactor != options.dilationWFactor:
        yield "its dilation differs in x and y"
    if node.name == "FULLY_CONNECTED":
        if options.weightsFormat != schema.FullyConnectedOptionsWeightsFormat.DEFAULT:
            yield "its weights are shuffled"
        if any(size > 1 for size in graph.shape(node.outputs[0])[:-1]):
            yield "its output has more than one dimension"
    if node.name == "PRELU" and any(size > 1 for size in graph.shape(node.inputs[1])[:-1]):
        yield "its slopes have more than one dimension"


def _reduction(graph: Graph, node: Node) -> Iterator[str]:
    """No mean over the batch; over the channels only where their number divides by 4."""
    if node.name != "MEAN":
        return
    image = graph.shape(node.inputs[0])
    axes = {axis % len(image) for axis in graph.integers(node.inputs[1])}
    if 0 in axes:
        yield "it reduces the batch"
    if len(image) - 1 in axes and image[-1] % 4:
        yield f"it reduces {image[-1]} channels, which 4 does not divide"


def _excitation(graph: Graph, node: Node) -> Iterator[str]:
    """Squeeze-and-excitation is MEAN (keepdims), CONV_2D, CONV_2D, LOGISTIC, MUL, nothing between."""
    if node.name != "LOGISTIC":
        return
    chain = [node]
    while len(chain) < 4 and (before := graph.producer(chain[0].inputs[0])) is not None:
        chain.insert(0, before)
    after = graph.consumers(node.outputs[0])
    names = [link.name for link in (*chain, *after)]
    if names != ["MEAN", "CONV_2D", "CONV_2D", "LOGISTIC", "MUL"]:
        yield f"squeeze-and-excitation is {' -> '.join(names)}"
    elif not chain[0].options.keepDims:
        yield "the MEAN of squeeze-and-excitation drops dimensions"
    elif chain[0].inputs[0] not in after[0].inputs:
        yield "MUL does not scale the map that MEAN squeezed"
