"""Every rule for the Edge TPU catches the graph that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_fer.errors import ModelError
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.tflite.graph import Graph, outside_buffers, pack, read, settle

pytestmark = pytest.mark.lab

OP = schema.BuiltinOperator
INT8, INT32, FLOAT32 = schema.TensorType.INT8, schema.TensorType.INT32, schema.TensorType.FLOAT32


class Bare:
    """A graph without operators, and what it takes to add some."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.graph = schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.graph], []
        self.model.buffers = [schema.BufferT()]
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, shape: tuple[int, ...], data: bytes | None = None, scales: int = 1, kind: int = INT8) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = f"t{len(self.graph.tensors)}", list(shape), kind
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1] * scales, [0] * scales
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data, np.uint8)
            self.model.buffers.append(buffer)
        tensor.buffer = len(self.model.buffers) - 1 if data is not None else 0
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def integers(self, values: list[int]) -> int:
        return self.tensor((len(values),), np.array(values, np.int32).tobytes(), scales=0, kind=INT32)

    def convolution(self, source: int, channels: int) -> int:
        inputs = self.graph.tensors[source].shape[-1]
        kernel = self.tensor((channels, 1, 1, inputs), b"\1" * channels * inputs, scales=channels)
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = 1
        bias = self.integers([0] * channels)
        return self.node(OP.CONV_2D, 3, options, [source, kernel, bias], (1, 1, 1, channels))

    def node(self, code: int, version: int, options: Any, inputs: list[int], shape: tuple[int, ...]) -> int:
        target = self.tensor(shape)
        known = schema.OperatorCodeT()
        known.builtinCode = known.deprecatedBuiltinCode = code
        known.version = version
        self.model.operatorCodes.append(known)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.graph.operators), inputs, [target]
        if options is not None:
            operator.builtinOptions = options
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        self.graph.operators.append(operator)
        return target

    def operator(self, name: str, number: int = 0) -> Any:
        code = getattr(OP, name)
        return [o for o in self.graph.operators if self.model.operatorCodes[o.opcodeIndex].builtinCode == code][number]

    def code(self, name: str) -> Any:
        return next(code for code in self.model.operatorCodes if code.builtinCode == getattr(OP, name))


class Builder(Bare):
    """An INT8 graph of one squeeze-and-excitation and one dense layer, to be broken."""

    def __init__(self) -> None:
        super().__init__()
        image = self.tensor((1, 8, 8, 16))
        mean = self.node(OP.MEAN, 2, schema.ReducerOptionsT(), [image, self.integers([1, 2])], (1, 1, 1, 16))
        self.graph.operators[-1].builtinOptions.keepDims = True
        down = self.convolution(mean, 4)
        scale = self.node(OP.LOGISTIC, 2, None, [self.convolution(down, 16)], (1, 1, 1, 16))
        scaled = self.node(OP.MUL, 2, schema.MulOptionsT(), [image, scale], (1, 8, 8, 16))
        pooled = self.node(OP.MEAN, 2, schema.ReducerOptionsT(), [scaled, self.integers([1, 2])], (1, 16))
        kernel, bias = self.tensor((7, 16), b"\1" * 112), self.integers([0] * 7)
        options = schema.FullyConnectedOptionsT()
        logits = self.node(OP.FULLY_CONNECTED, 4, options, [pooled, kernel, bias], (1, 7))
        self.graph.inputs, self.graph.outputs = [image], [logits]


def test_a_sound_graph_passes() -> None:
    graph = check_int8(pack(Builder().model))
    assert "CONV_2D v3 x 1" in graph.summary() or "CONV_2D v3 x 2" in graph.summary()
    assert graph.shape(graph.outputs[0]) == (1, 7)


def newer_version(b: Builder) -> None:
    b.code("CONV_2D").version = 6


def foreign_operator(b: Builder) -> None:
    code = b.code("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = OP.HARD_SWISH


def float_tensor(b: Builder) -> None:
    b.graph.tensors[b.operator("MUL").outputs[0]].type = FLOAT32


def no_scale(b: Builder) -> None:
    b.graph.tensors[b.operator("MUL").outputs[0]].quantization = None


def open_shape(b: Builder) -> None:
    b.graph.tensors[b.graph.inputs[0]].shapeSignature = [-1, 8, 8, 16]


def batch(b: Builder) -> None:
    b.graph.tensors[b.graph.inputs[0]].shape = [2, 8, 8, 16]


def convolution_with_one_scale(b: Builder) -> None:
    b.graph.tensors[b.operator("CONV_2D").inputs[1]].quantization.scale = [0.1]


def dense_with_many_scales(b: Builder) -> None:
    b.graph.tensors[b.operator("FULLY_CONNECTED").inputs[1]].quantization.scale = [0.1] * 7


def computed_weights(b: Builder) -> None:
    b.graph.tensors[b.operator("FULLY_CONNECTED").inputs[1]].buffer = 0


def uneven_dilation(b: Builder) -> None:
    b.operator("CONV_2D").builtinOptions.dilationHFactor = 2


def shuffled_weights(b: Builder) -> None:
    b.operator("FULLY_CONNECTED").builtinOptions.weightsFormat = 1


def mean_over_batch(b: Builder) -> None:
    b.operator("MEAN", 1).inputs[1] = b.integers([0])


def mean_over_odd_channels(b: Builder) -> None:
    b.operator("MEAN", 1).inputs[1] = b.integers([-1])
    b.graph.tensors[b.operator("MUL").outputs[0]].shape = [1, 8, 8, 15]


def squeeze_without_dimensions(b: Builder) -> None:
    b.operator("MEAN").builtinOptions.keepDims = False


def reshape_inside(b: Builder) -> None:
    b.operator("CONV_2D").opcodeIndex = len(b.model.operatorCodes)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = OP.RESHAPE
    code.version = 1
    b.model.operatorCodes.append(code)


def scales_another_map(b: Builder) -> None:
    b.operator("MUL").inputs[0] = b.tensor((1, 8, 8, 16))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (newer_version, r"CONV_2D #1: version 6 is newer than TensorFlow 2\.5's 5"),
        (foreign_operator, r"HARD_SWISH #3: the Edge TPU has no such operator"),
        (float_tensor, r"MUL #4: tensor \d+ is FLOAT32, not INT8"),
        (no_scale, r"MUL #4: tensor \d+ has no scale"),
        (open_shape, r"MEAN #0: tensor 0 has the open shape \(-1, 8, 8, 16\)"),
        (batch, r"above 1 outside the three innermost dimensions"),
        (convolution_with_one_scale, r"CONV_2D #1: its weights have 1 scales, not 4"),
        (dense_with_many_scales, r"FULLY_CONNECTED #6: its weights have 7 scales, not 1"),
        (computed_weights, r"FULLY_CONNECTED #6: its weights are not constant"),
        (uneven_dilation, r"CONV_2D #1: its dilation differs"),
        (shuffled_weights, r"FULLY_CONNECTED #6: its weights are shuffled"),
        (mean_over_batch, r"MEAN #5: it reduces the batch"),
        (mean_over_odd_channels, r"MEAN #5: it reduces 15 channels"),
        (squeeze_without_dimensions, r"LOGISTIC #3: the MEAN .* drops dimensions"),
        (reshape_inside, r"MEAN -> RESHAPE -> CONV_2D -> LOGISTIC -> MUL"),
        (scales_another_map, r"LOGISTIC #3: MUL does not scale the map"),
    ],
)
def test_a_violation_is_named(break_it: Callable[[Builder], None], message: str) -> None:
    builder = Builder()
    break_it(builder)
    with pytest.raises(ModelError, match=message):
        check_int8(pack(builder.model))


def test_a_float_model_says_how_much_is_wrong() -> None:
    builder = Builder()
    for tensor in builder.graph.tensors:
        tensor.type = FLOAT32
    with pytest.raises(ModelError, match=r"found \d+ violations: input or output tensor 0 is FLOAT32.*and \d+ more"):
        check_int8(pack(builder.model))


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\.tflite file"):
        Graph(b"PK\x03\x04 something else entirely")


def test_settling_lowers_versions_and_keeps_constants() -> None:
    builder = Builder()
    builder.code("FULLY_CONNECTED").version = 5
    builder.operator("FULLY_CONNECTED").builtinOptions.keepNumDims = True
    builder.code("MUL").version = 1
    graph = Graph(settle(pack(builder.model)))
    assert {(node.name, node.version) for node in graph.nodes} >= {("FULLY_CONNECTED", 4), ("MUL", 2)}
    assert not next(node for node in graph.nodes if node.name == "FULLY_CONNECTED").options.keepNumDims


def test_constants_behind_the_graph_are_found_and_brought_inside() -> None:
    builder = Builder()
    values = np.arange(112, dtype=np.uint8)
    buffer = builder.model.buffers[builder.graph.tensors[builder.operator("FULLY_CONNECTED").inputs[1]].buffer]
    buffer.data, buffer.offset, buffer.size = None, 1 << 20, len(values)
    content = pack(builder.model)
    content += bytes((1 << 20) - len(content)) + values.tobytes()
    with pytest.raises(ModelError, match="1 constants lie behind the graph"):
        check_int8(content)
    settled = settle(content)
    assert outside_buffers(settled) == 0
    check_int8(settled)
    assert any(found.data is not None and bytes(found.data) == values.tobytes() for found in read(settled).buffers)
