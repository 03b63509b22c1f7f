"""Every rule of the Edge TPU's compiler catches the model that breaks it, and models that break none are clean."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_fer.errors import ModelError
from edge_fer.inference.model_store import packaged_folder
from edge_fer.lab.cli.app import app
from edge_fer.lab.edgetpu.check import COMPILED, SRAM_BYTES, check
from edge_fer.lab.tflite.graph import pack
from tests.lab.edgetpu.test_rules import FLOAT32, INT8, OP, Bare, Builder

pytestmark = pytest.mark.lab

UINT8 = schema.TensorType.UINT8


class One(Bare):
    """A graph of one operator."""

    def put(self, name: str, version: int, options: Any, inputs: list[int], shape: tuple[int, ...]) -> One:
        """Add the operator behind what is there; its first computed input is the model's where there is none."""
        computed = [index for index in inputs if self.graph.tensors[index].buffer == 0]
        output = self.node(getattr(OP, name), version, options, inputs, shape)
        if self.graph.inputs is None:
            self.graph.inputs = computed
        self.graph.outputs = [output]
        return self

    def constant(self, shape: tuple[int, ...], value: int = 1, scales: int = 1) -> int:
        return self.tensor(shape, np.full(shape, value, np.int8).tobytes(), scales)

    @property
    def options(self) -> Any:
        return self.graph.operators[0].builtinOptions

    def input(self, number: int) -> Any:
        return self.graph.tensors[self.graph.operators[0].inputs[number]]

    def replace(self, number: int, tensor: int) -> None:
        self.graph.operators[0].inputs[number] = tensor

    def output_shape(self, *shape: int) -> None:
        self.graph.tensors[self.graph.operators[0].outputs[0]].shape = list(shape)


def pooling(kind: str) -> One:
    b, options = One(), schema.Pool2DOptionsT()
    options.filterHeight = options.filterWidth = options.strideH = options.strideW = 2
    return b.put(kind, 2, options, [b.tensor((1, 8, 8, 4))], (1, 4, 4, 4))


def concatenation() -> One:
    b, options = One(), schema.ConcatenationOptionsT()
    options.axis = 3
    inputs = [b.tensor((1, 4, 4, 4)), b.constant((1, 4, 4, 4), 0)]
    return b.put("CONCATENATION", 2, options, inputs, (1, 4, 4, 8))


def convolution() -> One:
    b, options = One(), schema.Conv2DOptionsT()
    options.strideH = options.strideW = 1
    inputs = [b.tensor((1, 4, 4, 4)), b.constant((8, 3, 3, 4), scales=8), b.integers([0] * 8)]
    return b.put("CONV_2D", 3, options, inputs, (1, 4, 4, 8))


def depthwise() -> One:
    b, options = One(), schema.DepthwiseConv2DOptionsT()
    options.strideH = options.strideW = options.depthMultiplier = 1
    inputs = [b.tensor((1, 4, 4, 8)), b.constant((1, 3, 3, 8), scales=8), b.integers([0] * 8)]
    return b.put("DEPTHWISE_CONV_2D", 3, options, inputs, (1, 4, 4, 8))


def dense() -> One:
    b = One()
    inputs = [b.tensor((1, 16)), b.constant((8, 16)), b.integers([0] * 8)]
    return b.put("FULLY_CONNECTED", 4, schema.FullyConnectedOptionsT(), inputs, (1, 8))


def prelu() -> One:
    b = One()
    return b.put("PRELU", 1, None, [b.tensor((1, 4, 4, 8)), b.constant((1, 1, 8))], (1, 4, 4, 8))


def softmax(length: int = 10) -> One:
    b = One()
    return b.put("SOFTMAX", 2, schema.SoftmaxOptionsT(), [b.tensor((1, length))], (1, length))


def reduction(kind: str, axes: list[int]) -> One:
    b = One()
    inputs = [b.tensor((1, 8, 8, 16)), b.integers(axes)]
    return b.put(kind, 2, schema.ReducerOptionsT(), inputs, (1, 16))


def packing() -> One:
    b, options = One(), schema.PackOptionsT()
    options.axis = 1
    return b.put("PACK", 2, options, [b.tensor((1, 8)), b.tensor((1, 8))], (1, 2, 8))


def padding() -> One:
    b = One()
    paddings = b.tensor((4, 2), np.array([0, 0, 1, 1, 1, 1, 0, 0], np.int32).tobytes(), 0, schema.TensorType.INT32)
    return b.put("PAD", 2, schema.PadOptionsT(), [b.tensor((1, 4, 4, 8)), paddings], (1, 6, 6, 8))


def squeezing() -> One:
    b, options = One(), schema.SqueezeOptionsT()
    options.squeezeDims = [0, 1]
    return b.put("SQUEEZE", 1, options, [b.tensor((1, 1, 4, 8))], (4, 8))


def slicing() -> One:
    b = One()
    bounds = [b.integers(values) for values in ([0, 0, 0, 0], [1, 2, 2, 8], [1, 1, 1, 1])]
    return b.put("STRIDED_SLICE", 2, schema.StridedSliceOptionsT(), [b.tensor((1, 4, 4, 8)), *bounds], (1, 2, 2, 8))


def transposed() -> One:
    b, options = One(), schema.TransposeConvOptionsT()
    options.strideH = options.strideW = 2
    inputs = [b.integers([1, 8, 8, 4]), b.constant((4, 3, 3, 8), scales=4), b.tensor((1, 4, 4, 8))]
    return b.put("TRANSPOSE_CONV", 3, options, inputs, (1, 8, 8, 4))


def activation(kind: str, version: int) -> One:
    b = One()
    return b.put(kind, version, None, [b.tensor((1, 4, 4, 8))], (1, 4, 4, 8))


def reshaping(values: int = 128) -> One:
    b = One()
    inputs = [b.tensor((1, 1, values // 8, 8)), b.integers([1, values])]
    return b.put("RESHAPE", 1, schema.ReshapeOptionsT(), inputs, (1, values))


def resizing(side: int = 16) -> One:
    b = One()
    inputs = [b.tensor((1, side // 2, side // 2, 8)), b.integers([side, side])]
    return b.put("RESIZE_BILINEAR", 3, schema.ResizeBilinearOptionsT(), inputs, (1, side, side, 8))


def enlarging(*, half_pixel_centers: bool = False) -> One:
    b, options = One(), schema.ResizeNearestNeighborOptionsT()
    options.halfPixelCenters = half_pixel_centers
    return b.put("RESIZE_NEAREST_NEIGHBOR", 3, options, [b.tensor((1, 8, 8, 8)), b.integers([16, 16])], (1, 16, 16, 8))


def splitting(shape: tuple[int, ...] = (1, 4, 4, 8)) -> One:
    b = One()
    return b.put("SPLIT", 2, schema.SplitOptionsT(), [b.integers([1]), b.tensor(shape)], (*shape[:-1], shape[-1] // 2))


def add_after_pad() -> One:
    b = padding()
    return b.put("ADD", 2, schema.AddOptionsT(), [b.graph.outputs[0], b.tensor((1, 6, 6, 8))], (1, 6, 6, 8))


def quantize_a_float() -> One:
    b = One()
    b.put("QUANTIZE", 1, schema.QuantizeOptionsT(), [b.tensor((1, 16), scales=0, kind=FLOAT32)], (1, 16))
    inputs = [b.graph.outputs[0], b.constant((8, 16)), b.integers([0] * 8)]
    return b.put("FULLY_CONNECTED", 4, schema.FullyConnectedOptionsT(), inputs, (1, 8))


CLEAN: dict[str, Callable[[], One]] = {
    "average pooling": lambda: pooling("AVERAGE_POOL_2D"),
    "max pooling": lambda: pooling("MAX_POOL_2D"),
    "concatenation with zeros": concatenation,
    "convolution": convolution,
    "depthwise convolution": depthwise,
    "dense": dense,
    "prelu": prelu,
    "softmax": softmax,
    "mean": lambda: reduction("MEAN", [1, 2]),
    "mean over channels": lambda: reduction("MEAN", [3]),
    "maximum of a map": lambda: reduction("REDUCE_MAX", [1, 2]),
    "pack": packing,
    "pad": padding,
    "squeeze": squeezing,
    "strided slice": slicing,
    "transposed convolution": transposed,
    "relu6": lambda: activation("RELU6", 2),
    "tanh": lambda: activation("TANH", 2),
    "reshape": reshaping,
    "resize": resizing,
    "nearest neighbour": enlarging,
    "split": splitting,
}


@pytest.mark.parametrize("name", CLEAN)
def test_an_operator_that_keeps_the_rules_is_clean(name: str) -> None:
    verdict = check(pack(CLEAN[name]().model))
    assert (verdict.findings, verdict.mapped, verdict.on_cpu) == ((), 1, 0)


def with_fused(b: One) -> One:
    b.options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    return b


def with_ones(b: One) -> One:
    b.replace(1, b.constant((1, 4, 4, 4), 1))
    return b


def with_third_input(b: One) -> One:
    b.graph.operators[0].inputs = [*b.graph.operators[0].inputs, b.tensor((1, 4, 4, 4))]
    return b


def with_dilation(b: One) -> One:
    b.options.dilationWFactor = 2
    return b


def with_scales(b: One, count: int) -> One:
    b.input(1).quantization.scale = [0.1] * count
    return b


def with_version(b: One, version: int) -> One:
    b.model.operatorCodes[0].version = version
    return b


def with_type(b: One, number: int, kind: int) -> One:
    b.input(number).type = kind
    return b


def with_shape(b: One, number: int, *shape: int) -> One:
    b.input(number).shape = list(shape)
    return b


def with_signature(b: One, *shape: int) -> One:
    b.input(0).shapeSignature = list(shape)
    return b


def with_output(b: One, *shape: int) -> One:
    b.output_shape(*shape)
    return b


def without_constant(b: One, number: int) -> One:
    b.input(number).buffer = 0
    return b


def with_axis(b: One, axis: int) -> One:
    b.options.axis = axis
    return b


def with_integers(b: One, number: int, values: list[int]) -> One:
    b.replace(number, b.integers(values))
    return b


def with_dropped(b: One, axes: list[int]) -> One:
    b.options.squeezeDims = axes
    return b


def with_custom(name: str) -> One:
    b = activation("RELU", 2)
    code = b.model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = OP.CUSTOM
    code.customCode = name
    return b


def with_shuffled_weights(b: One) -> One:
    b.options.weightsFormat = schema.FullyConnectedOptionsWeightsFormat.SHUFFLED4x16INT8
    return b


def with_constant_behind(b: One) -> One:
    b.model.buffers[b.input(1).buffer].offset = 1 << 10
    return b


VIOLATIONS: list[tuple[str, str, Callable[[], One], str]] = [
    ("leaky relu", "operator", lambda: activation("LEAKY_RELU", 2), "LEAKY_RELU #0: the Edge TPU has no such operator"),
    ("hard swish", "operator", lambda: activation("HARD_SWISH", 1), "HARD_SWISH #0: the Edge TPU has no such operator"),
    ("custom", "operator", lambda: with_custom("MyOp"), "CUSTOM MyOp #0: the Edge TPU has no such operator"),
    ("version", "file", lambda: with_version(convolution(), 6), "version 6 is newer than TensorFlow 2.5's 5"),
    ("open shape", "file", lambda: with_signature(convolution(), -1, 4, 4, 4), "has the open shape (-1, 4, 4, 4)"),
    ("float", "operator", lambda: with_type(convolution(), 0, FLOAT32), "is FLOAT32, not INT8 or UINT8"),
    ("int16", "operator", lambda: with_type(dense(), 0, schema.TensorType.INT16), "is INT16, not INT8 or UINT8"),
    ("batch of two", "operator", lambda: with_shape(convolution(), 0, 2, 4, 4, 4), "outside the three innermost"),
    ("computed weights", "operator", lambda: without_constant(convolution(), 1), "its weights are not constant"),
    ("computed bias", "operator", lambda: without_constant(dense(), 2), "its bias is not constant"),
    ("computed axes", "operator", lambda: without_constant(reduction("MEAN", [1]), 1), "its axes are not constant"),
    ("pool relu", "operator", lambda: with_fused(pooling("AVERAGE_POOL_2D")), "it has a fused activation"),
    ("max relu", "operator", lambda: with_fused(pooling("MAX_POOL_2D")), "it has a fused activation"),
    ("concat relu", "operator", lambda: with_fused(concatenation()), "it has a fused activation"),
    ("concat ones", "operator", lambda: with_ones(concatenation()), "its constant input is not all zeros"),
    ("concat three", "operator", lambda: with_third_input(concatenation()), "it has 3 inputs of which one is constant"),
    ("dilation", "operator", lambda: with_dilation(convolution()), "its dilation differs in x and y"),
    ("depthwise dilation", "operator", lambda: with_dilation(depthwise()), "its dilation differs in x and y"),
    ("dense scales", "operator", lambda: with_scales(dense(), 8), "its weights have 8 scales, not 1"),
    ("depthwise scales", "operator", lambda: with_scales(depthwise(), 3), "its weights have 3 scales, not 8"),
    ("shuffled", "operator", lambda: with_shuffled_weights(dense()), "its weights are shuffled"),
    ("dense image", "operator", lambda: with_output(dense(), 2, 8), "its output has more than one dimension"),
    ("2-D slopes", "operator", lambda: with_shape(prelu(), 1, 4, 1, 8), "its slopes have more than one dimension"),
    ("long softmax", "operator", lambda: softmax(16_001), "its input has 16001 values, more than 16000"),
    ("2-D softmax", "operator", lambda: with_shape(softmax(), 0, 1, 4, 10), "its input has more than one dimension"),
    ("mean of batch", "operator", lambda: reduction("MEAN", [0]), "it reduces the batch"),
    ("maximum of batch", "operator", lambda: reduction("REDUCE_MAX", [0]), "it reduces the batch"),
    ("mean of z", "operator", lambda: with_shape(reduction("MEAN", [-1]), 0, 1, 8, 8, 15), "which 4 does not divide"),
    ("pack batch", "operator", lambda: with_axis(packing(), 0), "it packs along the batch"),
    ("pad batch", "operator", lambda: with_integers(padding(), 1, [0, 1, 0, 0, 0, 0, 0, 0]), "it pads the batch"),
    ("squeeze inside", "operator", lambda: with_dropped(squeezing(), [1]), "drops the dimensions [1], which are not"),
    ("half pixels", "operator", lambda: enlarging(half_pixel_centers=True), "it takes the middles of pixels (half_pi"),
    ("strides", "operator", lambda: with_integers(slicing(), 3, [1, 2, 2, 1]), "its strides are (1, 2, 2, 1), not all"),
    ("pooled map", "confirm", lambda: with_shape(reduction("MEAN", [1, 2]), 0, 1, 256, 256, 16), "it pools 256x256"),
    ("rank of split", "confirm", lambda: splitting((1, 4, 8)), "its inputs have 3 dimensions"),
    ("add after pad", "confirm", add_after_pad, "ADD #1: it comes right after PAD"),
    ("large reshape", "confirm", lambda: reshaping(1 << 17), "it reshapes 131072 values"),
    ("large resize", "confirm", lambda: resizing(512), "it makes 512x512 pixels"),
]


@pytest.mark.parametrize(("scope", "build", "message"), [row[1:] for row in VIOLATIONS], ids=[r[0] for r in VIOLATIONS])
def test_a_violation_is_caught(scope: str, build: Callable[[], One], message: str) -> None:
    verdict = check(pack(build().model))
    assert [message in str(finding) for finding in verdict.findings if finding.scope == scope].count(True) == 1
    assert (verdict.on_cpu > 0) == (scope != "confirm")


def test_a_constant_behind_the_graph_is_refused() -> None:
    content = pack(with_constant_behind(convolution()).model) + bytes(2048)
    assert [str(finding) for finding in check(content).refused] == ["1 constants lie behind the graph"]


def test_uint8_and_one_scale_for_a_convolution_are_the_older_way_and_clean() -> None:
    b = with_scales(convolution(), 1)
    for tensor in b.graph.tensors:
        tensor.type = UINT8 if tensor.type == INT8 else tensor.type
    assert check(pack(b.model)).findings == ()


def test_padding_with_quantized_zeros_is_padding_with_zeros() -> None:
    b = with_ones(concatenation())
    b.input(1).quantization.zeroPoint = [1]
    assert check(pack(b.model)).on_cpu == 0


def test_everything_after_the_first_unmapped_operator_runs_on_the_cpu() -> None:
    builder = Builder()
    code = builder.model.operatorCodes[2]
    code.builtinCode = code.deprecatedBuiltinCode = OP.HARD_SWISH
    verdict = check(pack(builder.model))
    assert (verdict.operators, verdict.mapped, verdict.on_cpu) == (7, 2, 5)
    assert str(verdict.ends[0]) == "HARD_SWISH #2: the Edge TPU has no such operator"
    assert verdict.cost.parameter_bytes == 4 * 16 + 4 * 4 + 2 * 4  # the first convolution, its bias, MEAN's axes


def test_a_refused_file_leaves_nothing_to_the_edge_tpu() -> None:
    builder = Builder()
    builder.code("MUL").version = 5
    verdict = check(pack(builder.model))
    assert (verdict.mapped, verdict.on_cpu, len(verdict.refused)) == (0, 7, 1)
    assert verdict.ends == ()


def test_quantizing_a_float_input_stays_on_the_cpu_and_ends_nothing() -> None:
    verdict = check(pack(quantize_a_float().model))
    assert (verdict.mapped, verdict.on_cpu, verdict.ends) == (1, 1, ())


def test_a_squeeze_and_excitation_block_is_to_be_confirmed() -> None:
    verdict = check(pack(Builder().model))
    assert [str(finding) for finding in verdict.findings] == ["MUL #4: it ends a squeeze-and-excitation block"]
    assert verdict.on_cpu == 0


def test_a_reshape_inside_squeeze_and_excitation_is_to_be_confirmed() -> None:
    builder = Builder()
    builder.operator("MEAN").builtinOptions.keepDims = False
    (finding,) = check(pack(builder.model)).known_issues
    assert finding.problem == "the MEAN of squeeze-and-excitation drops dimensions"


def test_costs_are_counted_from_the_shapes() -> None:
    cost = check(pack(convolution().model)).cost
    assert cost.macs == 4 * 4 * 8 * 3 * 3 * 4
    assert cost.parameter_bytes == 8 * 3 * 3 * 4 + 8 * 4
    assert (cost.image_bytes, cost.streamed_bytes) == (4 * 4 * 4 + 4 * 4 * 8, 0)
    assert check(pack(depthwise().model)).cost.macs == 4 * 4 * 8 * 3 * 3
    assert check(pack(transposed().model)).cost.macs == 4 * 4 * 8 * 4 * 3 * 3
    assert check(pack(dense().model)).cost.macs == 8 * 16


def test_what_does_not_fit_the_chip_is_streamed() -> None:
    b = One()
    inputs = [b.tensor((1, 4096)), b.constant((2048, 4096)), b.integers([0] * 2048)]
    b.put("FULLY_CONNECTED", 4, schema.FullyConnectedOptionsT(), inputs, (1, 2048))
    cost = check(pack(b.model)).cost
    assert cost.streamed_bytes == 2048 * 4096 + 2048 * 4 - SRAM_BYTES
    assert not cost.mostly_streamed


def test_a_compiled_model_is_no_model_to_check() -> None:
    assert COMPILED == "CUSTOM edgetpu-custom-op"
    with pytest.raises(ModelError, match="before compilation, found one that is compiled"):
        check(pack(with_custom("edgetpu-custom-op").model))


@given(cut=st.integers(0, 3000), at=st.integers(8, 3000), value=st.integers(0, 255))
@settings(max_examples=60)
def test_a_damaged_file_is_an_error_of_ours_or_a_verdict(cut: int, at: int, value: int) -> None:
    content = bytearray(pack(Builder().model))
    content[min(at, len(content) - 1)] = value
    with suppress(ModelError):
        check(bytes(content[: len(content) - cut]))


def test_the_shipped_classifier_runs_wholly_on_the_edge_tpu() -> None:
    result = CliRunner().invoke(app, ["edgetpu-check", "se_resnet50", "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (told["clean"], told["cpu"], told["edgetpu"]) == (True, 0, told["operators"])
    assert {finding["scope"] for finding in told["findings"]} == {"confirm"}
    assert told["cost"]["parameter_bytes"] < (packaged_folder() / "se_resnet50.tflite").stat().st_size
    boards = [prediction["board"] for prediction in told["predicted"]]
    assert boards == ["Dev Board", "USB Accelerator, USB 3", "Raspberry Pi 4 + USB Accelerator"]


def test_the_text_says_what_ends_it_and_what_errors_the_prediction_has(tmp_path: Path) -> None:
    builder = Builder()
    code = builder.model.operatorCodes[2]
    code.builtinCode = code.deprecatedBuiltinCode = OP.LEAKY_RELU
    (tmp_path / "broken.tflite").write_bytes(pack(builder.model))
    result = CliRunner().invoke(app, ["edgetpu-check", str(tmp_path / "broken.tflite")])
    assert result.exit_code == 1
    assert "broken.tflite: 2 of 7 operators on the Edge TPU, 5 on the CPU" in result.stdout
    assert "LEAKY_RELU #2 ends the Edge TPU's part" in result.stdout
    assert "predicted, not measured: (without the operators on the CPU)" in result.stdout
    assert result.stdout.count("median error") == 6


def test_a_refused_file_gets_no_prediction(tmp_path: Path) -> None:
    (tmp_path / "new.tflite").write_bytes(pack(with_version(convolution(), 6).model))
    result = CliRunner().invoke(app, ["edgetpu-check", str(tmp_path / "new.tflite")])
    assert result.exit_code == 1
    assert "the compiler would refuse the file" in result.stdout
    assert "predicted" not in result.stdout


@pytest.mark.parametrize("model", ["nobody", "missing.tflite"])
def test_a_model_that_is_not_there_is_an_error(model: str) -> None:
    result = CliRunner().invoke(app, ["edgetpu-check", model])
    assert isinstance(result.exception, ModelError)
    assert result.exception.exit_code == 4
