"""Small ONNX networks for tests, written in ONNX's text format."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="writes networks; pip install onnx")
pytest.importorskip("onnxruntime", reason="runs networks; pip install onnxruntime")


def network(text: str) -> bytes:
    """The content of an .onnx file.

    Args:
        text: of the graph, as `onnx.parser` takes it.
    """
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def classifier(
    labels: int,
    *,
    side: int = 16,
    channels: int = 3,
    nhwc: bool = False,
    batch: str = "1",
    end: str = "Identity",
    features: int = 0,
) -> bytes:
    """A network that gives a linear function of each channel's mean: float32.

    Args:
        labels: how many values it gives.
        side: of the square input, pixels.
        channels: of the input.
        nhwc: whether the channels come last.
        batch: size of the batch, or a name for one that is left open.
        end: the last operator: `Identity`, `Softmax`, `Log` (not a number for half of the labels), ...
        features: how many values a further output has, the sum of the channels' means each; 0: there is none.
    """  # fmt: skip
    shape = f"{batch},{side},{side},{channels}" if nhwc else f"{batch},{channels},{side},{side}"
    first = "moved = Transpose<perm=[0,3,1,2]>(image)" if nhwc else "moved = Identity(image)"
    further, ones, last = "", "", ""
    if features:
        further = f", float[{batch},{features}] features"
        ones = f", float[{channels},{features}] ones = {_values(np.ones(channels * features))}"
        last = "features = MatMul(means, ones)"
    return network(f"""
        net (float[{shape}] image) => (float[{batch},{labels}] scores{further})
        <float[{channels},{labels}] weights = {_values(label_weights(channels, labels))}{ones}>
        {{
            {first}
            pooled = GlobalAveragePool(moved)
            means = Flatten(pooled)
            linear = MatMul(means, weights)
            scores = {end}(linear)
            {last}
        }}""")


def label_weights(channels: int, labels: int) -> np.ndarray:
    """The weights of `classifier`: `(channels, labels)` float32, -1..1."""
    return np.random.default_rng(5).uniform(-1, 1, (channels, labels)).round(3).astype(np.float32)


def two_inputs(side: int = 16, vector: int = 5) -> bytes:
    """A picture and a vector, both float32, concatenated: `(1, 3 + vector)`."""
    return network(f"""
        net (float[1,3,{side},{side}] input, float[1,{vector}] vector) => (float[1,{3 + vector}] output)
        {{
            pooled = GlobalAveragePool(input)
            flat = Flatten(pooled)
            output = Concat<axis=1>(flat, vector)
        }}""")


def quantized(labels: int = 7, side: int = 16) -> bytes:
    """As `classifier`, with weights and input quantized to int8 inside (QDQ)."""
    weights = np.rint(label_weights(3, labels) / 0.01).astype(int)
    return network(f"""
        net (float[1,3,{side},{side}] image) => (float[1,{labels}] scores)
        <float scale = {{0.02}}, int8 zero = {{0}}, float step = {{0.01}},
         int8[3,{labels}] weights = {_values(weights)}>
        {{
            steps = QuantizeLinear(image, scale, zero)
            real = DequantizeLinear(steps, scale, zero)
            pooled = GlobalAveragePool(real)
            flat = Flatten(pooled)
            unpacked = DequantizeLinear(weights, step, zero)
            scores = MatMul(flat, unpacked)
        }}""")


def _values(array: np.ndarray | Sequence[float]) -> str:
    return "{" + ", ".join(map(str, np.ravel(array).tolist())) + "}"
