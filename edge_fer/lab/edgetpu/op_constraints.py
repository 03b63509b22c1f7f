"""What Coral's table of supported operations requires of single operators, for compiler 16.0.

A rule examines one node and yields what is wrong with it, as a phrase. Dimensions count from the batch, which is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_fer.lab.tflite.graph import Graph, Node

LONGEST_SOFTMAX = 16_000


def _pooling(_: Graph, node: Node) -> Iterator[str]:
    if node.options.fusedActivationFunction:
        yield "it has a fused activation"


def _concatenation(graph: Graph, node: Node) -> Iterator[str]:
    """A constant among the inputs is allowed only as padding with zeros."""
    if node.options.fusedActivationFunction:
        yield "it has a fused activation"
    constants = [tensor for tensor in node.inputs if graph.is_constant(tensor)]
    if constants and len(node.inputs) != 2:
        yield f"it has {len(node.inputs)} inputs of which one is constant, not 2"
    for tensor in constants:
        values = graph.values(tensor)
        if values is not None and np.any(values != np.uint8(graph.zero_point(tensor) % 256)):
            yield "its constant input is not all zeros"


def _dilation(_: Graph, node: Node) -> Iterator[str]:
    if node.options.dilationHFactor != node.options.dilationWFactor:
        yield "its dilation differs in x and y"


def _fully_connected(graph: Graph, node: Node) -> Iterator[str]:
    if node.options.weightsFormat != schema.FullyConnectedOptionsWeightsFormat.DEFAULT:
        yield "its weights are shuffled"
    if _leading(graph, node.outputs[0]):
        yield "its output has more than one dimension"


def _prelu(graph: Graph, node: Node) -> Iterator[str]:
    if _leading(graph, node.inputs[1]):
        yield "its slopes have more than one dimension"


def _softmax(graph: Graph, node: Node) -> Iterator[str]:
    if _leading(graph, node.inputs[0]):
        yield "its input has more than one dimension"
    length = graph.shape(node.inputs[0])[-1]
    if length > LONGEST_SOFTMAX:
        yield f"its input has {length} values, more than {LONGEST_SOFTMAX}"


def _mean(graph: Graph, node: Node) -> Iterator[str]:
    yield from _reduction(graph, node)
    image = graph.shape(node.inputs[0])
    if len(image) - 1 in _axes(graph, node) and image[-1] % 4:
        yield f"it reduces {image[-1]} channels, which 4 does not divide"


def _reduction(graph: Graph, node: Node) -> Iterator[str]:
    if 0 in _axes(graph, node):
        yield "it reduces the batch"


def _pack(graph: Graph, node: Node) -> Iterator[str]:
    if node.options.axis % len(graph.shape(node.outputs[0])) == 0:
        yield "it packs along the batch"


def _pad(graph: Graph, node: Node) -> Iterator[str]:
    if any(graph.integers(node.inputs[1])[:2]):
        yield "it pads the batch"


def _nearest_neighbor(_: Graph, node: Node) -> Iterator[str]:
    """Not in Coral's table; google-coral/edgetpu, issue 187: "Operation version not supported"."""
    if node.options.halfPixelCenters:
        yield "it takes the middles of pixels (half_pixel_centers), which the compiler does not map"


def _squeeze(graph: Graph, node: Node) -> Iterator[str]:
    shape = graph.shape(node.inputs[0])
    named = node.options.squeezeDims if node.options is not None else None
    dropped = {int(axis) % len(shape) for axis in named} if named is not None and len(named) else _ones(shape)
    if dropped != set(range(len(dropped))):
        yield f"it drops the dimensions {sorted(dropped)}, which are not the leading ones"


def _strided_slice(graph: Graph, node: Node) -> Iterator[str]:
    strides = graph.integers(node.inputs[3])
    if any(stride != 1 for stride in strides):
        yield f"its strides are {strides}, not all 1"


def _ones(shape: tuple[int, ...]) -> set[int]:
    return {axis for axis, size in enumerate(shape) if size == 1}


def _leading(graph: Graph, tensor: int) -> bool:
    """Whether any dimension but the last is above 1."""
    return any(size > 1 for size in graph.shape(tensor)[:-1])


def _axes(graph: Graph, node: Node) -> set[int]:
    rank = len(graph.shape(node.inputs[0]))
    return {axis % rank for axis in graph.integers(node.inputs[1])}


OPTIONS: dict[str, Callable[[Graph, Node], Iterator[str]]] = {
    "AVERAGE_POOL_2D": _pooling,
    "CONCATENATION": _concatenation,
    "CONV_2D": _dilation,
    "DEPTHWISE_CONV_2D": _dilation,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _pooling,
    "MEAN": _mean,
    "PACK": _pack,
    "PAD": _pad,
    "PRELU": _prelu,
    "REDUCE_MAX": _reduction,
    "REDUCE_MIN": _reduction,
    "RESIZE_NEAREST_NEIGHBOR": _nearest_neighbor,
    "SOFTMAX": _softmax,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
}
"""The rules by operator; those that are not here have none of their own."""
