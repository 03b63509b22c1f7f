"""The rules that a graph must keep for the Edge TPU, each a small function.

A rule examines one node and yields what is wrong with it, as a phrase. The rules are those of Coral's table of
supported operations for compiler 16.0; `edgetpu_options` has those of single operators, `edgetpu_doubts` what is
allowed and has failed nevertheless. `check_int8` is for our own exports and stricter than the compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from edge_fer.errors import ModelError
from edge_fer.lab.edgetpu.known_issues import KNOWN_ISSUES, squeeze_and_excitation
from edge_fer.lab.edgetpu.op_constraints import OPTIONS
from edge_fer.lab.tflite.graph import NEWEST_VERSION, Graph, Node, outside_buffers

Rule = Callable[[Graph, Node], Iterator[str]]
Scope = Literal["file", "operator", "confirm"]

_MAX_LISTED = 8
_QUANTIZED = ("INT8", "UINT8")
_PARAMETERS: dict[str, tuple[tuple[int, str], ...]] = {
    "CONV_2D": ((1, "weights"), (2, "bias")),
    "DEPTHWISE_CONV_2D": ((1, "weights"), (2, "bias")),
    "EXPAND_DIMS": ((1, "axis"),),
    "FULLY_CONNECTED": ((1, "weights"), (2, "bias")),
    "MEAN": ((1, "axes"),),
    "PAD": ((1, "paddings"),),
    "PRELU": ((1, "slopes"),),
    "REDUCE_MAX": ((1, "axes"),),
    "REDUCE_MIN": ((1, "axes"),),
    "RESHAPE": ((1, "shape"),),
    "RESIZE_BILINEAR": ((1, "size"),),
    "RESIZE_NEAREST_NEIGHBOR": ((1, "size"),),
    "SLICE": ((1, "begin"), (2, "size")),
    "SPLIT": ((0, "axis"),),
    "STRIDED_SLICE": ((1, "begin"), (2, "end"), (3, "strides")),
    "SUM": ((1, "axes"),),
    "TRANSPOSE_CONV": ((0, "output shape"), (1, "weights"), (3, "bias")),
}
"""Inputs that are parameters: which, and what to call them."""

_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0}
"""The dimension of the weights along which an operator may have a scale for each channel."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found.

    Attributes:
        scope: `file` when the compiler refuses the whole file for it, `operator` when that operator stays on the
            CPU, `confirm` when only the compiler's log can tell.
        node: index of the operator in the graph; None for the graph as a whole.
        operator: its name.
        problem: a phrase.
    """

    scope: Scope
    node: int | None
    operator: str
    problem: str

    def __str__(self) -> str:
        return self.problem if self.node is None else f"{self.operator} #{self.node}: {self.problem}"


def findings(content: bytes) -> Iterator[Finding]:
    """Everything about a model that the compiler would refuse, leave on the CPU, or perhaps not take.

    Args:
        content: the content of a .tflite file.

    Raises:
        ModelError: when it is no .tflite file or holds several graphs.
    """
    outside = outside_buffers(content)
    if outside:
        yield Finding("file", None, "", f"{outside} constants lie behind the graph")
    yield from graph_findings(Graph(content))


def graph_findings(graph: Graph) -> Iterator[Finding]:
    """The same, of a graph that was read already."""
    scopes: tuple[tuple[Scope, tuple[Rule, ...]], ...] = (
        ("file", (_version, _open_shape)),
        ("operator", (_operator, _types, _dimensions, _parameters, _scales, _own)),
        ("confirm", KNOWN_ISSUES),
    )
    for number, node in enumerate(graph.nodes):
        for scope, rules in scopes:
            for rule in rules:
                yield from (Finding(scope, number, node.name, problem) for problem in rule(graph, node))


def check_int8(content: bytes) -> Graph:
    """Check one of our own exports: INT8 throughout, no rule broken, nothing that the compiler might not take.

    Returns:
        The graph, for a description of it.

    Raises:
        ModelError: with all violations (the first few spelled out) in one line.
    """
    graph = Graph(content)
    outside = outside_buffers(content)
    found = [f"{outside} constants lie behind the graph"] if outside else []
    found += _violations(graph)
    if found:
        more = f"; and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
        raise ModelError(
            f"expected a full-INT8 graph for the Edge TPU, found {len(found)} violations: "
            f"{'; '.join(found[:_MAX_LISTED])}{more}; change the network or the recipe and export again"
        )
    return graph


def _violations(graph: Graph) -> Iterator[str]:
    for tensor in (*graph.inputs, *graph.outputs):
        if graph.type(tensor) != "INT8":
            yield f"input or output tensor {tensor} is {graph.type(tensor)}, not INT8"
    yield from (str(finding) for finding in graph_findings(graph) if finding.scope != "confirm")
    for number, node in enumerate(graph.nodes):
        for rule in (_scale_a_channel, squeeze_and_excitation):
            yield from (f"{node.name} #{number}: {problem}" for problem in rule(graph, node))


def _version(_: Graph, node: Node) -> Iterator[str]:
    newest = NEWEST_VERSION.get(node.name)
    if newest is not None and node.version > newest:
        yield f"version {node.version} is newer than TensorFlow 2.5's {newest}"


def _open_shape(graph: Graph, node: Node) -> Iterator[str]:
    for tensor in (*(tensor for tensor in node.inputs if tensor in graph.inputs), *node.outputs):
        if -1 in graph.shape(tensor):
            yield f"tensor {tensor} has the open shape {graph.shape(tensor)}"


def _operator(_: Graph, node: Node) -> Iterator[str]:
    if node.name not in NEWEST_VERSION:
        yield "the Edge TPU has no such operator"


def _types(graph: Graph, node: Node) -> Iterator[str]:
    for tensor in (*node.inputs, *node.outputs):
        found = graph.type(tensor)
        if found in _QUANTIZED:
            if graph.scales(tensor) == 0:
                yield f"tensor {tensor} has no scale"
        elif found != "INT32" or not graph.is_constant(tensor):
            yield f"tensor {tensor} is {found}, not INT8 or UINT8"


def _dimensions(graph: Graph, node: Node) -> Iterator[str]:
    for tensor in (*node.inputs, *node.outputs):
        shape = graph.shape(tensor)
        if not graph.is_constant(tensor) and any(size > 1 for size in shape[:-3]):
            yield f"tensor {tensor} of shape {shape} is above 1 outside the three innermost dimensions"


def _parameters(graph: Graph, node: Node) -> Iterator[str]:
    for position, name in _PARAMETERS.get(node.name, ()):
        if position < len(node.inputs) and not graph.is_constant(node.inputs[position]):
            yield f"its {name} {'is' if name in ('axis', 'bias', 'size', 'shape') else 'are'} not constant"


def _scales(graph: Graph, node: Node) -> Iterator[str]:
    """One scale for all weights, or one a channel where the operator has channels."""
    found = _weight_scales(graph, node)
    if found is not None and found[0] not in (1, found[1]):
        yield f"its weights have {found[0]} scales, not {found[1]}"


def _scale_a_channel(graph: Graph, node: Node) -> Iterator[str]:
    """Our own exports quantize every channel of a convolution by itself."""
    found = _weight_scales(graph, node)
    if found is not None and found[0] == 1 != found[1]:
        yield f"its weights have {found[0]} scales, not {found[1]}"


def _weight_scales(graph: Graph, node: Node) -> tuple[int, int] | None:
    """How many scales the weights of a node have, and how many they may have; None where there are no weights."""
    if node.name not in (*_CHANNEL_AXIS, "FULLY_CONNECTED") or not graph.is_constant(node.inputs[1]):
        return None
    axis = _CHANNEL_AXIS.get(node.name)
    return graph.scales(node.inputs[1]), 1 if axis is None else graph.shape(node.inputs[1])[axis]


def _own(graph: Graph, node: Node) -> Iterator[str]:
    rule = OPTIONS.get(node.name)
    if rule is not None:
        yield from rule(graph, node)
