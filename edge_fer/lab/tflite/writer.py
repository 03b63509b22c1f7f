"""Writes MTCNN's nets straight into the LiteRT file format.

litert-torch would lower a PReLU to five elementwise ops and fix the input size, and ai-edge-quantizer has no
PReLU; these nets are chains of a few layers, so one native operator a layer, on NHWC tensors of any size, is simpler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import nn

from edge_fer.lab.networks.mtcnn import MtcnnNet
from edge_fer.lab.tflite.graph import pack, settle

_SCHEMA_VERSION = 3
_OP = schema.BuiltinOperator
_OPTIONS = schema.BuiltinOptions


Range = tuple[float, float]
"""The least and greatest value of a tensor."""

IMAGE_RANGE: Range = (-127.5 / 128, 127.5 / 128)


def write_mtcnn(net: MtcnnNet) -> bytes:
    """The content of a .tflite file: float32, NHWC, resizable in every dimension that the net leaves open.

    Height and width are open in a net that is convolutional throughout; the batch always is.
    """
    return _write(net, _Writer())


def write_mtcnn_int8(net: MtcnnNet, ranges: Mapping[str, Range]) -> bytes:
    """The same with an INT8 input and trunk; the last features are dequantized and the heads, which are tiny, float.

    So scores, offsets and landmarks keep a resolution that 256 steps would not give them. Convolutions
    have one scale a channel, dense layers and the slopes of a PReLU one for all; biases are INT32.

    Args:
        net: the net with its weights.
        ranges: ranges of the trunk's tensors, by the names in `trunk_names`.
    """
    return settle(_write(net, _Int8Writer(ranges={"image": IMAGE_RANGE, **ranges})))


def trunk_names(net: MtcnnNet) -> dict[str, nn.Module]:
    """The trunk's layers by the names of the tensors that they compute."""
    return {f"trunk/{number}": layer for number, layer in enumerate(_steps(net.trunk), 1)}


def _write(net: MtcnnNet, writer: _Writer) -> bytes:
    example = torch.zeros(1, 3, net.input_size, net.input_size)
    has_dense = any(isinstance(layer, nn.Linear) for layer in net.modules())
    writer.open_dims = (0,) if has_dense else (0, 1, 2)
    image = writer.tensor("image", (1, net.input_size, net.input_size, 3))
    features, reached = writer.chain(net.trunk, image, example)
    features = writer.real(features, _nhwc_shape(reached))
    outputs = {name: writer.chain(head, features, reached, name)[0] for name, head in net.heads.items()}
    return writer.finish(image, outputs)


def _steps(layers: nn.Sequential) -> list[nn.Module]:
    """The layers that become an operator."""
    return [layer for layer in layers if not isinstance(layer, nn.Flatten)]


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
        steps = _steps(layers)
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
                inputs = [source, *self.weights(layer.weight.permute(0, 2, 3, 1), layer.bias, source)]
                self.operator(_OP.CONV_2D, _OPTIONS.Conv2DOptions, options, inputs, target)
            case nn.Linear():
                options = schema.FullyConnectedOptionsT()
                inputs = [source, *self.weights(_columns_nhwc(layer.weight, shape), layer.bias, source)]
                self.operator(_OP.FULLY_CONNECTED, _OPTIONS.FullyConnectedOptions, options, inputs, target)
            case nn.PReLU():
                self.operator(_OP.PRELU, _OPTIONS.NONE, None, [source, self.slopes(layer.weight)], target)
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
                raise TypeError(f"expected a layer of MTCNN, found {type(layer).__name__}; add it to the writer")

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
        return self.stored(np.ascontiguousarray(values.detach().numpy(), np.float32))

    def stored(self, array: NDArray[Any]) -> int:
        """Add a constant tensor with the bytes of an array."""
        buffer = schema.BufferT()
        buffer.data = array.view(np.uint8).reshape(-1)
        self.buffers.append(buffer)
        index = len(self.buffers) - 1
        return self.tensor(f"constant/{index}", array.shape, index)

    def weights(self, kernel: torch.Tensor, bias: torch.Tensor, source: int) -> tuple[int, int]:
        """Add the kernel and the bias of a layer that reads `source`."""
        return self.constant(kernel), self.constant(bias)

    def slopes(self, values: torch.Tensor) -> int:
        """Add the slopes of a PReLU."""
        return self.constant(values)

    def real(self, source: int, shape: tuple[int, ...]) -> int:
        """A tensor with the real values of `source`."""
        return source

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


@dataclass
class _Int8Writer(_Writer):
    """Writes computed tensors that have a range, and the layers that read them, in INT8."""

    ranges: Mapping[str, Range] = field(default_factory=dict)
    scales: dict[int, float] = field(default_factory=dict)

    def tensor(self, name: str, shape: tuple[int, ...], buffer: int = 0) -> int:
        """Add a tensor, quantized where it has a range."""
        index = super().tensor(name, shape, buffer)
        if name in self.ranges:
            low, high = min(self.ranges[name][0], 0.0), max(self.ranges[name][1], 0.0)
            scale = (high - low) / 255
            self.quantized(index, schema.TensorType.INT8, [scale], round(-128 - low / scale))
            self.scales[index] = scale
        return index

    def quantized(self, index: int, kind: int, scales: list[float], zero_point: int = 0) -> int:
        """State how a tensor is quantized: with one scale, or with one for each index of its first dimension."""
        self.tensors[index].type = kind
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = scales, [zero_point] * len(scales)
        self.tensors[index].quantization = quantization
        return index

    def weights(self, kernel: torch.Tensor, bias: torch.Tensor, source: int) -> tuple[int, int]:
        """Add an INT8 kernel and an INT32 bias, where the layer reads INT8."""
        if source not in self.scales:
            return super().weights(kernel, bias, source)
        values = kernel.detach().numpy()
        greatest = np.abs(values).max(axis=(1, 2, 3) if values.ndim == 4 else None, keepdims=True)
        scales = greatest / 127
        kernel_index = self.stored(np.rint(values / scales).astype(np.int8))
        self.quantized(kernel_index, schema.TensorType.INT8, scales.ravel().tolist())
        steps = scales.ravel() * self.scales[source]
        bias_index = self.stored(np.rint(bias.detach().numpy() / steps).astype(np.int32))
        return kernel_index, self.quantized(bias_index, schema.TensorType.INT32, steps.tolist())

    def slopes(self, values: torch.Tensor) -> int:
        """Add INT8 slopes."""
        slopes = values.detach().numpy()
        scale = float(np.abs(slopes).max()) / 127
        return self.quantized(self.stored(np.rint(slopes / scale).astype(np.int8)), schema.TensorType.INT8, [scale])

    def real(self, source: int, shape: tuple[int, ...]) -> int:
        """Dequantize a tensor."""
        target = self.tensor("features", shape)
        self.operator(_OP.DEQUANTIZE, _OPTIONS.NONE, None, [source], target)
        return target


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
