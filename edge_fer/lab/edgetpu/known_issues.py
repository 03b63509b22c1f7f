"""What Coral's table allows, but has failed in reported cases or depends on unpublished sizes.

Such findings stop nothing: they name what to look for in the compiler's log. Issues are those of google-coral/edgetpu.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge_fer.lab.tflite.graph import Graph, Node

_POOLED_AT_MOST = 8192
"""Pixels that were pooled to one and mapped (64x128, issue 461); 256x128 (461) and 256x256 (183) were not."""

_RESHAPED_AT_MOST = 1 << 16
"""Values; ours: the table says only that certain reshapes of large tensors might not be mapped."""

_UPSAMPLED_AT_MOST = 128 * 128
"""Pixels that a resize made and was mapped; 512x512 was not (issue 31)."""


def squeeze_and_excitation(graph: Graph, node: Node) -> Iterator[str]:
    """A LOGISTIC that is not where squeeze-and-excitation has it.

    It is MEAN (keepdims), CONV_2D, CONV_2D, LOGISTIC, MUL, with nothing between.
    """
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


def _excitation(graph: Graph, node: Node) -> Iterator[str]:
    """A MUL that scales the channels of a map, which is how squeeze-and-excitation ends."""
    if node.name != "MUL":
        return
    gates = [tensor for tensor in node.inputs if _is_vector(graph, tensor) and not graph.is_constant(tensor)]
    if len(gates) != 1:
        return
    gate = graph.producer(gates[0])
    odd = () if gate is None else tuple(squeeze_and_excitation(graph, gate))
    yield odd[0] if odd else "it ends a squeeze-and-excitation block"


def _global_pooling(graph: Graph, node: Node) -> Iterator[str]:
    if node.name not in ("MEAN", "AVERAGE_POOL_2D"):
        return
    image = graph.shape(node.inputs[0])
    if len(image) != 4 or graph.size(node.outputs[0]) != image[-1]:
        return
    if image[1] * image[2] > _POOLED_AT_MOST:
        yield f"it pools {image[1]}x{image[2]} pixels to one; 256x128 and more were not mapped (issues 183, 461)"


def _rank(graph: Graph, node: Node) -> Iterator[str]:
    ranks = {len(graph.shape(tensor)) for tensor in node.inputs if not graph.is_constant(tensor)}
    if node.name in ("MUL", "SPLIT") and ranks - {4}:
        found = " and ".join(map(str, sorted(ranks)))
        yield f"its inputs have {found} dimensions; with 3 it was not mapped (issue 219)"


def _add_after_pad(graph: Graph, node: Node) -> Iterator[str]:
    if node.name != "ADD":
        return
    before = [graph.producer(tensor) for tensor in node.inputs]
    if any(link is not None and link.name == "PAD" for link in before):
        yield "it comes right after PAD, which was not mapped (issue 690)"


def _reshape(graph: Graph, node: Node) -> Iterator[str]:
    if node.name == "RESHAPE" and graph.size(node.inputs[0]) > _RESHAPED_AT_MOST:
        yield f"it reshapes {graph.size(node.inputs[0])} values; large tensors might not be mapped"


def _resize(graph: Graph, node: Node) -> Iterator[str]:
    shape = graph.shape(node.outputs[0])
    if node.name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR") and shape[1] * shape[2] > _UPSAMPLED_AT_MOST:
        yield f"it makes {shape[1]}x{shape[2]} pixels; 512x512 was not mapped (issue 31)"


def _is_vector(graph: Graph, tensor: int) -> bool:
    """Whether it has channels only."""
    shape = graph.shape(tensor)
    return len(shape) == 4 and all(size == 1 for size in shape[:-1])


KNOWN_ISSUES: tuple[Callable[[Graph, Node], Iterator[str]], ...] = (
    _excitation,
    _global_pooling,
    _rank,
    _add_after_pad,
    _reshape,
    _resize,
)
