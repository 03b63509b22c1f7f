"""Where a model would run, and what it would cost, before anybody has compiled it.

The compiler makes one part of the graph for the Edge TPU: from the start to the first operator that it cannot map.
All after that runs on the CPU, whatever it is (Coral's "TensorFlow models on the Edge TPU"). A QUANTIZE of a float
input comes before that part and does not end it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_fer.errors import ModelError
from edge_fer.lab.edgetpu.rules import Finding, findings
from edge_fer.lab.tflite.graph import Graph, Node

SRAM_BYTES = int(6.89 * 2**20)
"""What the chip has for parameters, of its 8 MB: the most that published compiler logs show as cached."""

COMPILED = "CUSTOM edgetpu-custom-op"
_WIDTH = {"INT8": 1, "UINT8": 1, "INT16": 2, "INT32": 4, "FLOAT32": 4}


@dataclass(frozen=True, slots=True)
class Cost:
    """What the Edge TPU's part of a model needs.

    Attributes:
        parameter_bytes: weights and biases.
        streamed_bytes: the part of these that the chip cannot keep and gets anew at each inference.
        image_bytes: input and output, which cross the link at each inference, too.
        macs: multiplications with an addition of the convolutions and dense layers.
    """

    parameter_bytes: int
    streamed_bytes: int
    image_bytes: int
    macs: int

    @property
    def mostly_streamed(self) -> bool:
        """Whether most of the parameters cross the link at each inference."""
        return self.streamed_bytes > self.parameter_bytes / 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the operators of a model would run.

    Attributes:
        operators: all of them.
        mapped: how many would run on the Edge TPU.
        ends: findings about the first operator that cannot be mapped; empty where all can.
        findings: everything that the rules found.
        cost: the cost of the Edge TPU's part.
    """

    operators: int
    mapped: int
    ends: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    cost: Cost

    @property
    def on_cpu(self) -> int:
        """How many operators would stay on the CPU."""
        return self.operators - self.mapped

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Why the compiler would not take the file at all."""
        return tuple(finding for finding in self.findings if finding.scope == "file")

    @property
    def known_issues(self) -> tuple[Finding, ...]:
        """What to look for in the compiler's log."""
        return tuple(finding for finding in self.findings if finding.scope == "confirm")


def check(content: bytes) -> Verdict:
    """Walk a model as the compiler would.

    Args:
        content: the content of a .tflite file that has not been compiled.

    Raises:
        ModelError: when it is no .tflite file, a damaged one, or one that has been compiled.
    """
    try:
        return _verdict(content)
    except ModelError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # The file can be read, but points to what is not there: operators, tensors, axes.
        raise ModelError(f"expected a .tflite file, found a damaged one ({error}); make it again") from error


def _verdict(content: bytes) -> Verdict:
    graph = Graph(content)
    if any(node.name == COMPILED for node in graph.nodes):
        raise ModelError("expected a model before compilation, found one that is compiled; give the file it came from")
    found = tuple(findings(content))
    mapped, ends = _part(graph, found)
    return Verdict(len(graph.nodes), len(mapped), ends, found, cost(graph, mapped))


def cost(graph: Graph, mapped: Sequence[Node]) -> Cost:
    """What a part of a graph needs on the Edge TPU."""
    parameters = {tensor for node in mapped for tensor in node.inputs if graph.is_constant(tensor)}
    made = {tensor for node in mapped for tensor in node.outputs}
    read = {tensor for node in mapped for tensor in node.inputs} - parameters - made
    elsewhere = {tensor for node in graph.nodes if node not in mapped for tensor in node.inputs} | {*graph.outputs}
    parameter_bytes = _bytes(graph, parameters)
    return Cost(
        parameter_bytes=parameter_bytes,
        streamed_bytes=max(0, parameter_bytes - SRAM_BYTES),
        image_bytes=_bytes(graph, read | (made & elsewhere)),
        macs=sum(_macs(graph, node) for node in mapped),
    )


def _part(graph: Graph, found: Sequence[Finding]) -> tuple[tuple[Node, ...], tuple[Finding, ...]]:
    """The nodes of the Edge TPU's part, and what ends it."""
    unmapped = {finding.node for finding in found if finding.scope == "operator"}
    first = next((number for number, node in enumerate(graph.nodes) if not _is_entry(graph, node)), 0)
    end = next((number for number in range(first, len(graph.nodes)) if number in unmapped), len(graph.nodes))
    reasons = tuple(finding for finding in found if finding.scope == "operator" and finding.node == end)
    refused = any(finding.scope == "file" for finding in found)
    return () if refused else graph.nodes[first:end], reasons


def _is_entry(graph: Graph, node: Node) -> bool:
    """Whether it turns a float input of the model into a quantized one."""
    return node.name == "QUANTIZE" and node.inputs[0] in graph.inputs and graph.type(node.inputs[0]) == "FLOAT32"


def _bytes(graph: Graph, tensors: set[int]) -> int:
    return sum(graph.size(tensor) * _WIDTH.get(graph.type(tensor), 1) for tensor in tensors)


def _macs(graph: Graph, node: Node) -> int:
    """Multiplications of one operator; 0 for those without weights."""
    if node.name == "CONV_2D":
        return graph.size(node.outputs[0]) * math.prod(graph.shape(node.inputs[1])[1:])
    if node.name == "DEPTHWISE_CONV_2D":
        return graph.size(node.outputs[0]) * math.prod(graph.shape(node.inputs[1])[1:3])
    if node.name == "FULLY_CONNECTED":
        return graph.size(node.outputs[0]) * graph.shape(node.inputs[1])[-1]
    if node.name == "TRANSPOSE_CONV":
        return graph.size(node.inputs[2]) * math.prod(graph.shape(node.inputs[1])[:3])
    return 0
