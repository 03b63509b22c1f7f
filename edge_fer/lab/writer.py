"""Writes MTCNN's nets straight into the LiteRT file format.

litert-torch would lower a PReLU to five elementwise ops and fix the input size; these nets are chains
of a few layers, so one native operator a layer, on NHWC tensors of any size, is simpler.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import nn

from edge_fer.lab.graph import pack
from edge_fer.lab.networks import MtcnnNet

_SCHEMA_VERSION = 3
_OP = schema.BuiltinOperator
_OPTIONS = schema.BuiltinOptions


def write_mtcnn(net: MtcnnNet) -> bytes:
    """The content of a .tflite file: float32, NHWC, resizable in every dimension that the net leaves open.

    Height and width are open in a net that is convolutional throughout; the batch always is.
    """
    writer = _Writer()
    example = torch.zeros(1, 3, net.input_size, net.input_size)
    has_dense = any(isinstance(layer, nn.Linear) for layer in net.modules())
    writer.open_dims = (0,) if has_dense else (0, 1, 2)
    image = writer.tensor("image", (1, net.input_size, net.input_size, 3))
    features, reached = writer.chain(net.trunk, image, example)
    outputs = {name: writer.chain(head, features, reached, name)[0] for name, head in net.heads.items()}
    return writer.finish(image, outputs)


@dataclass
class _Writer:
    """A graph under construction: tensors, operators and constant buffers, in order."""

    open_dims: tuple[int, ...] = (0,)
    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])  # the first one is always empty

    def chain(
        self, layers: nn.Sequential, source: int, example: torch.Tensor, name: str = "trunk"
    ) -> tuple[int, torch.Tensor]:
        """Write the layers one after the other; give the last tensor's index and what PyTorch computes there."""
        steps = [layer for layer in layers if not isinstance(layer, nn.Flatten)]
        for number, layer in enumerate(steps, 1):
            before = example
            example = layer(example.flatten(1) if isinstance(layer, nn.Linear) else example)
            last = number == len(steps) and name != "trunk"
            target = self.tensor(name if last else f"{name}/{number}", _nhwc_shape(example))
            self.layer(layer, source, target, tuple(before.shape))
            source = target
        return source, example

    def layer(self, layer: nn.Module, source: int, target: int, shape: tuple[int, ...]) -> None:
        """Write one layer; `shape` is its input's, in PyTorch's order."""
        match layer:
            case nn.Conv2d():
                options = schema.Conv2DOptionsT()
                options.padding = schema.Padding.VALID
                options.strideH, options.strideW = layer.stride
                kernel = self.constant(layer.weight.permute(0, 2, 3, 1))
                inputs = [source, kernel, self.constant(layer.bias)]
                self.operator(_OP.CONV_2D, _OPTIONS.Conv2DOptions, options, inputs, target)
            case nn.Linear():
                kernel = self.constant(_columns_nhwc(layer.weight, shape))
                inputs = [source, kernel, self.constant(layer.bias)]
                options = schema.FullyConnectedOptionsT()
                self.operator(_OP.FULLY_CONNECTED, _OPTIONS.FullyConnectedOptions, options, inputs, target)
            case nn.PReLU():
                self.operator(_OP.PRELU, _OPTIONS.NONE, None, [source, self.constant(layer.weight)], target)
            case nn.MaxPool2d():
                options = schema.Pool2DOptionsT()
                # ceil_mode lets the last window hang over the far edge: SAME, where it adds at most one pixel.
                options.padding = schema.Padding.SAME if layer.ceil_mode else schema.Padding.VALID
                options.strideH = options.strideW = layer.stride
                options.filterHeight = options.filterWidth = layer.kernel_size
                self.operator(_OP.MAX_POOL_2D, _OPTIONS.Pool2DOptions, options, [source], target)
            case nn.Softmax():
                options = schema.SoftmaxOptionsT()
                options.beta = 1.0
                self.operator(_OP.SOFTMAX, _OPTIONS.SoftmaxOptions, options, [source], target)
            case _:
                raise TypeError(
                    f"expected a layer of MTCNN, found {type(layer).__name__}; teach the writer to write it"
                )

    def tensor(self, name: str, shape: tuple[int, ...], buffer: int = 0) -> int:
        """Add a tensor; one without a buffer is computed, and its open dimensions may change."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
        tensor.type = schema.TensorType.FLOAT32
        if not buffer:
            tensor.shapeSignature = [-1 if dim in self.open_dims else size for dim, size in enumerate(shape)]
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, values: torch.Tensor) -> int:
        """Add a constant tensor."""
        array: NDArray[np.float32] = np.ascontiguousarray(values.detach().numpy(), np.float32)
        buffer = schema.BufferT()
        buffer.data = array.view(np.uint8).reshape(-1)
        self.buffers.append(buffer)
        index = len(self.buffers) - 1
        return self.tensor(f"constant/{index}", array.shape, index)

    def operator(self, code: int, kind: int, options: Any, inputs: list[int], target: int) -> None:
        """Add an operator."""
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs, operator.outputs = inputs, [target]
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self.operators.append(operator)

    def finish(self, source: int, outputs: dict[str, int]) -> bytes:
        """Close the graph and give the file's content."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [source], list(outputs.values())
        graph.name = "main"
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = _SCHEMA_VERSION, [graph], self.buffers
        model.operatorCodes = [_operator_code(code) for code in self.codes]
        model.signatureDefs = [_signature({"image": source}, outputs)]
        return pack(model)


def _operator_code(code: int) -> Any:
    operator_code = schema.OperatorCodeT()
    operator_code.builtinCode = operator_code.deprecatedBuiltinCode = code
    operator_code.version = 1
    return operator_code


def _signature(inputs: dict[str, int], outputs: dict[str, int]) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = _tensor_maps(inputs), _tensor_maps(outputs)
    return signature


def _tensor_maps(tensors: dict[str, int]) -> list[Any]:
    maps = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        maps.append(entry)
    return maps


def _nhwc_shape(example: torch.Tensor) -> tuple[int, ...]:
    return tuple(example.shape) if example.ndim == 2 else tuple(example.permute(0, 2, 3, 1).shape)


def _columns_nhwc(kernel: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """A dense kernel whose columns follow (height, width, channel): the order in which LiteRT flattens a map."""
    if len(shape) == 2:
        return kernel
    return kernel.unflatten(1, shape[1:]).permute(0, 2, 3, 1).flatten(1)
