"""What is inside a .tflite file, and whether an Edge TPU compiler could take it.

The rules are those of Coral's table of supported operations for compiler 16.0, whose parser is
TensorFlow 2.5's: a file with a newer version of any operator is refused whole.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_fer.errors import ModelError

_FILE_IDENTIFIER = b"TFL3"
_BROKEN = (struct.error, ValueError, TypeError, IndexError, OverflowError, AttributeError)
"""What the reader of the format raises where offsets lead nowhere."""

_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_TYPES = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}

NEWEST_VERSION = {
    "ADD": 3, "AVERAGE_POOL_2D": 3, "CONCATENATION": 3, "CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "EXPAND_DIMS": 1,
    "FULLY_CONNECTED": 9, "L2_NORMALIZATION": 2, "LOGISTIC": 3, "LSTM": 4, "MAXIMUM": 4, "MAX_POOL_2D": 3, "MEAN": 3,
    "MINIMUM": 4, "MUL": 4, "PACK": 3, "PAD": 3, "PRELU": 1, "QUANTIZE": 2, "REDUCE_MAX": 3, "REDUCE_MIN": 3,
    "RELU": 3, "RELU6": 3, "RELU_N1_TO_1": 1, "RESHAPE": 1, "RESIZE_BILINEAR": 4, "RESIZE_NEAREST_NEIGHBOR": 4,
    "SLICE": 5, "SOFTMAX": 3, "SPACE_TO_DEPTH": 2, "SPLIT": 4, "SQUEEZE": 2, "STRIDED_SLICE": 5, "SUB": 5, "SUM": 2,
    "TANH": 3, "TRANSPOSE_CONV": 3, "UNIDIRECTIONAL_SEQUENCE_LSTM": 3,
}  # fmt: skip
"""The operators that the Edge TPU runs, and TensorFlow 2.5's newest version of each (TensorFlow's
`lite/tools/versioning/runtime_version.cc`)."""

INT8_VERSION = {
    "ADD": 2, "AVERAGE_POOL_2D": 2, "CONCATENATION": 2, "CONV_2D": 3, "DEQUANTIZE": 2, "FULLY_CONNECTED": 4,
    "LOGISTIC": 2, "MAX_POOL_2D": 2, "MEAN": 2, "MUL": 2, "PAD": 2, "PRELU": 1, "RESHAPE": 1, "SOFTMAX": 2, "SUB": 2,
}  # fmt: skip
"""The version of each operator that brought its INT8 form."""


def read(content: bytes) -> Any:
    """The file as objects of the schema, constants that lie behind the graph brought inside.

    Raises:
        ModelError: when it is no .tflite file.
    """
    if content[4:8] != _FILE_IDENTIFIER:
        raise ModelError(f"expected a .tflite file ({_FILE_IDENTIFIER!r} at byte 4), found {content[4:8]!r}")
    try:
        model = schema.ModelT.InitFromPackedBuf(bytearray(content))
        for buffer in model.buffers:
            if _is_outside(buffer):
                buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
                buffer.offset = buffer.size = 0
    except _BROKEN as error:
        raise ModelError(
            f"expected a whole .tflite file, found one of {len(content)} bytes that ends early or is damaged"
        ) from error
    return model


def outside_buffers(content: bytes) -> int:
    """How many constants lie behind the graph, where readers as old as TensorFlow 2.5 see none."""
    return sum(_is_outside(buffer) for buffer in schema.ModelT.InitFromPackedBuf(bytearray(content)).buffers)


def _is_outside(buffer: Any) -> bool:
    # 0 is unset and 1 a placeholder in the schema.
    return bool(buffer.offset > 1)


def pack(model: Any) -> bytes:
    """The content of a .tflite file."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
    return bytes(builder.Output())


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph.

    Attributes:
        name: name of the operator, like `CONV_2D`; with a custom operator's own name, like `CUSTOM edgetpu-custom-op`.
        version: version that the file requires.
        inputs: indices of tensors.
        outputs: indices of tensors.
        options: the schema's object, or None.
    """

    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


class Graph:
    """The one graph of a .tflite file: its nodes in order, and its tensors.

    Raises:
        ModelError: when the file is no .tflite file or holds several graphs.
    """

    def __init__(self, content: bytes) -> None:
        model = read(content)
        if len(model.subgraphs) != 1:
            raise ModelError(f"expected one graph in the model, found {len(model.subgraphs)}")
        graph = model.subgraphs[0]
        self.tensors: list[Any] = graph.tensors
        self.inputs = tuple(int(index) for index in graph.inputs)
        self.outputs = tuple(int(index) for index in graph.outputs)
        self.nodes = tuple(_node(model.operatorCodes[operator.opcodeIndex], operator) for operator in graph.operators)
        self._data = [model.buffers[tensor.buffer].data for tensor in self.tensors]

    def name(self, tensor: int) -> str:
        """Its name."""
        return str(self.tensors[tensor].name, "utf-8")

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Its dimensions; -1 where the file leaves them open."""
        found = self.tensors[tensor]
        signature = found.shapeSignature if found.shapeSignature is not None else found.shape
        return tuple(int(size) for size in signature) if signature is not None else ()

    def type(self, tensor: int) -> str:
        """Its type, like `INT8`."""
        return _TYPES[self.tensors[tensor].type]

    def scales(self, tensor: int) -> int:
        """How many scales it is quantized with: 0 for none, 1 for the whole, else one a channel."""
        quantization = self.tensors[tensor].quantization
        return 0 if quantization is None or quantization.scale is None else len(quantization.scale)

    def is_constant(self, tensor: int) -> bool:
        """Whether its values are in the file."""
        return self._data[tensor] is not None

    def values(self, tensor: int) -> NDArray[np.uint8] | None:
        """The bytes of a constant; None for what is computed."""
        data = self._data[tensor]
        return None if data is None else np.asarray(data, np.uint8)

    def real_values(self, tensor: int) -> NDArray[np.float32]:
        """A constant: (value - zero point) * scale, with one scale or one a channel."""
        found = self.tensors[tensor]
        kind = np.dtype(self.type(tensor).lower()).newbyteorder("<")
        values = np.frombuffer(np.asarray(self._data[tensor], np.uint8).tobytes(), kind)
        values = values.reshape(found.shape).astype(np.float64)
        quantization = found.quantization
        if quantization is not None and quantization.scale is not None:
            along = [1] * values.ndim
            along[quantization.quantizedDimension] = -1
            points, scales = (np.asarray(each, np.float64) for each in (quantization.zeroPoint, quantization.scale))
            values = (values - points.reshape(along)) * scales.reshape(along)
        return values.astype(np.float32)

    def zero_point(self, tensor: int) -> int:
        """The quantized value that stands for 0.0; of the first channel where each has its own."""
        quantization = self.tensors[tensor].quantization
        found = None if quantization is None else quantization.zeroPoint
        return 0 if found is None or len(found) == 0 else int(found[0])

    def size(self, tensor: int) -> int:
        """How many values it has; a dimension that is open counts as 1."""
        return math.prod(max(size, 1) for size in self.shape(tensor))

    def integers(self, tensor: int) -> tuple[int, ...]:
        """The values of a constant INT32 tensor, like axes or paddings."""
        data = self._data[tensor]
        return () if data is None else tuple(np.asarray(data, np.uint8).view(np.int32).tolist())

    def producer(self, tensor: int) -> Node | None:
        """The node that computes it; None for inputs and constants."""
        return next((node for node in self.nodes if tensor in node.outputs), None)

    def consumers(self, tensor: int) -> tuple[Node, ...]:
        """The nodes that read it."""
        return tuple(node for node in self.nodes if tensor in node.inputs)

    def summary(self) -> str:
        """Operators with their versions and counts, like `CONV_2D v3 x 85`."""
        counts = Counter((node.name, node.version) for node in self.nodes)
        return ", ".join(f"{name} v{version} x {count}" for (name, version), count in sorted(counts.items()))


def _node(code: Any, operator: Any) -> Node:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = _OPERATORS.get(number, f"operator {number}")
    if code.customCode is not None:
        name = f"{name} {str(code.customCode, 'utf-8')}"
    inputs = tuple(int(index) for index in operator.inputs if index >= 0)
    outputs = tuple(int(index) for index in operator.outputs)
    return Node(name, code.version, inputs, outputs, operator.builtinOptions)


def settle(content: bytes) -> bytes:
    """Write an INT8 graph so that old readers understand it: constants inside, versions as low as they may be.

    Converters write what their own release prefers: version 1 after quantizing, or 5 for a dense
    layer that "keeps dimensions" of an input that has two anyway. The arithmetic stays the same.

    Args:
        content: the content of a .tflite file, all of it INT8.

    Returns:
        The same graph, every operator with the version that brought its INT8 form; those that
        are not in `INT8_VERSION` keep their version.
    """
    model = read(content)
    for graph in model.subgraphs:
        for operator in graph.operators:
            if isinstance(operator.builtinOptions, schema.FullyConnectedOptionsT):
                flat = len(graph.tensors[operator.inputs[0]].shape) == 2
                operator.builtinOptions.keepNumDims = operator.builtinOptions.keepNumDims and not flat
    for code in model.operatorCodes:
        code.version = INT8_VERSION.get(_OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)], code.version)
    return pack(model)
