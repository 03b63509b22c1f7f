"""Weights out of a deployed classifier, to train it further where only its .tflite file is at hand.

Quantized weights times their scales are the weights, but for the rounding; what they were before it is
lost, and training does not need it. Batch norms were folded into the convolutions by the converter: they
come back as norms that change nothing, until `settle_statistics` gives them statistics.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_fer.errors import ModelError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.networks.base import WIDTHS, Network
from edge_fer.lab.tflite.graph import Graph, Node

_KINDS = {"CONV_2D": nn.Conv2d, "DEPTHWISE_CONV_2D": nn.Conv2d, "FULLY_CONNECTED": nn.Linear}
_SHRINK = "AVERAGE_POOL_2D"
_ANYWHERE = (*_KINDS, _SHRINK, "RESHAPE")  # what says nothing of the network; a map of one place is not reshaped


def find_deployed(weights: Path) -> Path | None:
    """The .tflite file that is meant.

    Args:
        weights: a .tflite file, or the name of a shipped classifier.

    Returns:
        None where it is neither.
    """
    if weights.suffix == ".tflite":
        return weights
    store = ModelStore()
    spec = store.specs.get(str(weights))
    return store.folder / spec.file if spec is not None and spec.task == "classify" else None


def weights_from_tflite(path: Path, kind: type[Network]) -> Network:
    """A network with the weights of its .tflite file, INT8 or float32, ready to run.

    Args:
        path: as `edge-fer lab export` writes it. Its layers are taken in their order in the file, which is
            the order in which they compute.
        kind: the network that it must be.

    Raises:
        ModelError: when the file cannot be read, or is not this network layer for layer.
    """
    graph, constants = _open(path)
    _check_operators(graph, kind, path)
    nodes = [node for node in graph.nodes if node.name in _KINDS]
    resolution = _resolution(graph)
    net = kind(_width(graph, nodes, kind, resolution), resolution)
    layers = _layers(net)
    if len(nodes) != len(layers):
        raise ModelError(f"expected {len(layers)} layers with weights in {path}, found {len(nodes)}; check the file")
    with torch.no_grad():
        for (name, layer), node in zip(layers, nodes, strict=True):
            _check(name, layer, node, graph, path)
            weight, bias = (torch.from_numpy(constants(tensor)) for tensor in node.inputs[1:])
            weight = weight.permute(_to_torch(node)) if weight.ndim == 4 else weight
            if layer.bias is None:
                _unfold(layer, net.get_submodule(name.removesuffix("conv") + "bn"), weight, bias)
            else:
                scale = getattr(layer, "scale", 1.0)  # the converter folded it, too
                layer.weight.copy_(weight / scale)
                layer.bias.copy_(bias / scale)
    return net.eval()


def _check_operators(graph: Graph, kind: type[Network], path: Path) -> None:
    """Whether the operators without weights are the network's."""
    if not kind.OPERATORS:
        raise ModelError(
            f"expected weights of {kind.name()} as an .npz file, found {path}; this network cannot be read from .tflite"
        )
    found = Counter(node.name for node in graph.nodes if node.name not in _ANYWHERE)
    expected = Counter(kind.OPERATORS)
    if found != expected:
        name = min((found - expected) + (expected - found))
        raise ModelError(
            f"expected {expected[name]} {name} in {path}, as in this lab's {kind.name()}, found {found[name]}; "
            "start from this network's .npz file"
        )


def _to_torch(node: Node) -> tuple[int, int, int, int]:
    """The order of a kernel's axes that brings (out, height, width, in) to PyTorch's (out, in, height, width)."""
    return (3, 0, 1, 2) if node.name == "DEPTHWISE_CONV_2D" else (0, 3, 1, 2)


def _unfold(layer: Any, norm: Any, weight: Tensor, bias: Tensor) -> None:
    """Fill a convolution and its norm, whose variance is 1 and mean 0, so that both are what was one.

    Every filter gets a length of 1 and the norm the rest. Folded filters are of any length, and an optimizer
    that takes steps of one size would turn the shortest ones round in no time.
    """
    length = weight.flatten(1).norm(dim=1)
    length = torch.where(length > 0, length, 1.0)
    layer.weight.copy_(weight / length.reshape(-1, 1, 1, 1))
    norm.weight.copy_(length * math.sqrt(1 + norm.eps))
    norm.bias.copy_(bias)


def _open(path: Path) -> tuple[Graph, Callable[[int], NDArray[np.float32]]]:
    """The graph of a file, and a function that gives the real values of a constant."""
    try:
        graph = Graph(path.read_bytes())
    except OSError as error:
        raise ModelError(f"expected a .tflite file at {path}, found: {error.strerror}; check the path") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise ModelError(f"expected a whole .tflite file in {path}, found a damaged one; get it again") from error
    return graph, graph.real_values


def _resolution(graph: Graph) -> int:
    """Side of the picture that the layers work on: the input's, or what the first operator averages it down to."""
    first, side = graph.nodes[0], graph.shape(graph.inputs[0])[1]
    return side // first.options.filterHeight if first.name == _SHRINK else side


def _width(graph: Graph, nodes: list[Node], kind: type[Network], resolution: int) -> float:
    """The width at which the network has as many weights as the file; 1 where there is none."""
    found = sum(graph.size(node.inputs[1]) for node in nodes)
    for width in WIDTHS:
        with torch.device("meta"):  # shapes without memory
            net = kind(width, resolution)
        if found == sum(layer.weight.numel() for _, layer in _with_weights(net)):
            return width
    return 1.0


def _layers(net: Network) -> list[tuple[str, Any]]:
    """The layers with weights and their names, in the order in which they compute."""
    names = {layer: name for name, layer in _with_weights(net)}
    order: list[tuple[str, Any]] = []
    hooks = [layer.register_forward_pre_hook(lambda layer, _: order.append((names[layer], layer))) for layer in names]
    with torch.no_grad():
        net.eval()(torch.zeros(1, net.input.channels, net.side, net.side))
    for hook in hooks:
        hook.remove()
    return order


def _with_weights(net: Network) -> list[tuple[str, Any]]:
    return [(name, layer) for name, layer in net.named_modules() if isinstance(layer, tuple(_KINDS.values()))]


def _check(name: str, layer: Any, node: Node, graph: Graph, path: Path) -> None:
    """Whether a node of the file is the layer that should stand in its place."""
    shape, stride, found_stride = tuple(layer.weight.shape), 1, 1
    if isinstance(layer, nn.Conv2d):
        outputs, inputs, height, width = shape
        depthwise = node.name == "DEPTHWISE_CONV_2D"
        shape = (inputs, height, width, outputs) if depthwise else (outputs, height, width, inputs)
        stride = int(layer.stride[0])
        found_stride = node.options.strideH if node.name != "FULLY_CONNECTED" else 1
    constant = len(node.inputs) == 3 and all(graph.is_constant(tensor) for tensor in node.inputs[1:])
    found = graph.shape(node.inputs[1])
    if not constant or not isinstance(layer, _KINDS[node.name]) or (found, found_stride) != (shape, stride):
        raise ModelError(
            f"expected weights {shape} and stride {stride} for the layer {name} in {path}, found {node.name} with "
            f"{found} and stride {found_stride}; this is another network"
        )
