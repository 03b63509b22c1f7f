"""What quantization costs each layer: the float and the INT8 network side by side on the same faces."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.files import replacing
from edge_fer.lab.tflite.graph import Graph, Node
from edge_fer.lab.tflite.tensors import OpenNetwork

TABLE, RECORD, PLOT = "layers.csv", "layers.json", "layers.png"
INPUT = "INPUT"
"""Stands for an operator where there is none: the picture itself, rounded to 8 bits."""

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_LEAVES = {"conv", "bn"}  # of a convolution with its batch norm, which the converter makes one


@dataclass(frozen=True, slots=True)
class LayerError:
    """How well one layer's output survives in the running INT8 network, errors of all layers before it included.

    Attributes:
        number: place in the network; 0 is the input.
        operator: such as `CONV_2D`, or `INPUT`.
        name: name of the layer in the network's definition, such as `stage3.block1.expand`.
        shape: shape of its output.
        snr_db: signal-to-noise ratio of its output, decibels; infinite where nothing is lost.
        drop_db: how far that is below the ratio of its worst input, decibels; negative where the layer
            evens errors out, 0 for the input.
    """

    number: int
    operator: str
    name: str
    shape: tuple[int, ...]
    snr_db: float
    drop_db: float


@dataclass(frozen=True, slots=True)
class LayerReport:
    """The layers in the order in which they run.

    Attributes:
        faces: how many faces the figures are from.
        layers: one entry for each computed tensor.
    """

    faces: int
    layers: tuple[LayerError, ...]

    def worst(self, count: int = 10) -> tuple[LayerError, ...]:
        """The layers that lose most, the greatest drop first."""
        return tuple(sorted(self.layers, key=lambda layer: -layer.drop_db)[:count])


def compare_layers(
    float_model: bytes,
    int8_model: bytes,
    faces: NDArray[np.uint8],
    spec: InputSpec,
    *,
    threads: int = 2,
    progress: Progress = silent,
) -> LayerReport:
    """Measure the signal-to-noise ratio of every computed tensor.

    The ratio is 10 log10(sum signal^2 / sum (signal - dequantized)^2), over all faces together: the signal
    is float32's, and the INT8 network runs as a whole, so that errors add up as they do on the device.

    Args:
        float_model: the content of a .tflite file.
        int8_model: the content of the .tflite file of the same network, quantized.
        faces: uint8: `(n, size, size)`, grey, or `(n, size, size, 3)`, BGR, where the network takes colour.
        spec: how a pixel becomes an input, in both.
        threads: processor threads.
        progress: called after each face.

    Raises:
        ModelError: when the files do not hold the same operators in the same order.
    """
    signal_net, noisy_net = OpenNetwork(float_model, spec, threads), OpenNetwork(int8_model, spec, threads)
    pairs = match_tensors(signal_net.graph, noisy_net.graph)
    power = dict.fromkeys(pairs, 0.0)
    noise = dict.fromkeys(pairs, 0.0)
    for number, face in enumerate(faces, 1):
        signal_net.run(face)
        noisy_net.run(face)
        for tensor, other in pairs.items():
            signal = signal_net.values(tensor)
            power[tensor] += float(np.square(signal, dtype=np.float64).sum())
            noise[tensor] += float(np.square(signal - noisy_net.values(other)).sum())
        progress(number, len(faces))
    ratios = {tensor: decibels(power[tensor], noise[tensor]) for tensor in pairs}
    return LayerReport(len(faces), _layers(signal_net.graph, ratios))


def decibels(power: float, noise: float) -> float:
    """The signal-to-noise ratio of two sums of squares; infinite where there is no noise."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(power / noise) if power > 0 else -math.inf


def match_tensors(graph: Graph, quantized: Graph) -> dict[int, int]:
    """Which tensor of the INT8 graph is which of the float one: by the order of the operators that compute them.

    Quantizing may rename tensors and put in operators that only change the scale; nothing else may differ.

    Returns:
        Indices of tensors by those of the float graph: the input, then what each operator computes, in order.

    Raises:
        ModelError: when the operators or the shapes of what they compute differ.
    """
    nodes = [[node for node in each.nodes if node.name not in _CONVERSIONS] for each in (graph, quantized)]
    if len(nodes[0]) != len(nodes[1]):
        raise ModelError(
            f"expected the same network twice, found {len(nodes[0])} operators in the float file and "
            f"{len(nodes[1])} in the INT8 file; give the file that the INT8 one was made from"
        )
    pairs = dict(zip(graph.inputs, quantized.inputs, strict=True))
    for number, (ours, theirs) in enumerate(zip(*nodes, strict=True), 1):
        found = [_described(each, node) for each, node in ((graph, ours), (quantized, theirs))]
        if found[0] != found[1]:
            raise ModelError(
                f"expected the same network twice, found operator {number} to be {found[0]} in the float file and "
                f"{found[1]} in the INT8 file; give the file that the INT8 one was made from"
            )
        pairs |= dict(zip(ours.outputs, theirs.outputs, strict=True))
    return pairs


def _described(graph: Graph, node: Node) -> str:
    return f"{node.name} {[list(graph.shape(tensor)) for tensor in node.outputs]}"


def _layers(graph: Graph, ratios: Mapping[int, float]) -> tuple[LayerError, ...]:
    layers = []
    for number, (tensor, ratio) in enumerate(ratios.items()):
        node = graph.producer(tensor)
        before = [ratios[source] for source in node.inputs if source in ratios] if node else []
        worst = min(before, default=ratio)
        layers.append(
            LayerError(
                number=number,
                operator=node.name if node else INPUT,
                name=layer_name(graph, tensor, node),
                shape=graph.shape(tensor),
                snr_db=ratio,
                drop_db=0.0 if ratio == worst else worst - ratio,  # also where both are infinite
            )
        )
    return tuple(layers)


def layer_name(graph: Graph, tensor: int, node: Node | None) -> str:
    """A layer's name as it stands in the network's definition, out of what the converter wrote down.

    litert-torch names a tensor by the modules that it came through, such as `...Sequential_stage2/...
    Bottleneck_block1/...ConvNorm_reduce/...`; several of them, with `;` between, where operators were made
    one. A layer with weights is the deepest of them, any other operator belongs to the first.
    """
    if node is None:
        return "input"
    if tensor in graph.outputs:
        return "output"
    paths = [path for path in graph.name(tensor).split(";") if "/" in path] or [graph.name(tensor)]
    path = max(paths, key=lambda each: each.count("/")) if node.name in _WITH_WEIGHTS else paths[0]
    parts = [part.rpartition(".")[2].partition("_")[2] for part in path.split("/")]
    known = [part for part in parts if part and part != "wrapped" and part not in _LEAVES]
    return ".".join(known) or "network"


def write_report(folder: Path, report: LayerReport) -> None:
    """Write `layers.json`, `layers.csv` and `layers.png`.

    Raises:
        OutputError: when the folder cannot be written.
    """
    rows = [_row(layer) for layer in report.layers]
    content = {"faces": report.faces, "worst": [layer.number for layer in report.worst()], "layers": rows}
    with replacing(folder / RECORD) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())
    with replacing(folder / TABLE) as file:
        file.write(_as_csv(rows).encode())
    with replacing(folder / PLOT) as file:
        plot(report).savefig(file, format="png", dpi=120)


def _row(layer: LayerError) -> dict[str, Any]:
    """As JSON can hold it, which has no infinity."""
    row = asdict(layer)
    for name in ("snr_db", "drop_db"):
        row[name] = row[name] if math.isfinite(row[name]) else None
    return {**row, "shape": list(layer.shape)}


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(LayerError)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "shape": "x".join(map(str, row["shape"]))})
    return text.getvalue()


def plot(report: LayerReport, marked: int = 10) -> Figure:
    """Signal-to-noise ratio along the network, with the layers that lose most marked and the first of them named."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    known = [layer for layer in report.layers if math.isfinite(layer.snr_db)]
    axes.plot([layer.number for layer in known], [layer.snr_db for layer in known], linewidth=1, color="tab:blue")
    worst = [layer for layer in report.worst(marked) if layer in known]
    axes.plot(
        [layer.number for layer in worst],
        [layer.snr_db for layer in worst],
        linestyle="none",
        marker="o",
        color="tab:red",
        label=f"the {len(worst)} that lose most",
    )
    for first in worst[:1]:
        left = first.number > len(report.layers) / 2
        axes.annotate(
            f"{first.name} {first.operator}: {-first.drop_db:+.1f} dB",
            (first.number, first.snr_db),
            xytext=(-8 if left else 8, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
        )
    axes.set_xlabel("operator, in the order in which they run")
    axes.set_ylabel("signal to noise (dB)")
    axes.set_title(f"INT8 against float32 on {report.faces} faces")
    axes.legend(loc="lower left")
    axes.grid(visible=True, alpha=0.3)
    return figure
