"""From the float classifier to full INT8: ranges measured on faces, then `ai-edge-quantizer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.quantizer import Quantizer
from numpy.typing import NDArray

from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.evaluation.logits import classify
from edge_fer.lab.evaluation.metrics import agreement, negative_log_likelihood, score
from edge_fer.lab.quiet import quiet
from edge_fer.lab.tflite.graph import Graph, settle
from edge_fer.lab.tflite.tensors import OpenNetwork

PERCENTILES = (100.0, 99.9, 99.0, 95.0, 90.0)
"""How far ranges may reach, to choose from; 100 is min/max."""

_BITS = 8


@dataclass(frozen=True, slots=True)
class Extremes:
    """The least and greatest value of every computed tensor, for each calibration face.

    Attributes:
        names: names of the tensors.
        least: `(faces, tensors)` float32.
        greatest: `(faces, tensors)` float32.
    """

    names: tuple[str, ...]
    least: NDArray[np.float32]
    greatest: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cost:
    """What quantizing with ranges of one reach costs, on labelled faces.

    Attributes:
        percentile: percentile of the calibration faces' extremes that the ranges reach to; 100 is min/max.
        rmse: root mean square difference of the logits from float32's.
        agreement: part of the faces on which both name the same expression, 0..1.
        accuracy: accuracy of the INT8 network, 0..1.
        loss: the INT8 network's negative log likelihood without temperature, nats.
    """

    percentile: float
    rmse: float
    agreement: float
    accuracy: float
    loss: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Which reach was chosen, and what each would have cost.

    Attributes:
        chosen: one of `costs`.
        costs: the costs of all candidates, in the order in which they were tried.
        float_accuracy: accuracy of the float network on the same faces, 0..1.
        float_loss: the float network's negative log likelihood without temperature, nats.
        faces: how many faces there were.
        model: the INT8 network with the chosen ranges, content of a .tflite file.
    """

    chosen: Cost
    costs: tuple[Cost, ...]
    float_accuracy: float
    float_loss: float
    faces: int
    model: bytes


def measure_extremes(
    model: bytes, faces: NDArray[np.uint8], spec: InputSpec, *, threads: int = 2, progress: Progress = silent
) -> Extremes:
    """The range of every tensor while the float network runs over the calibration faces.

    Args:
        model: the content of a float .tflite file.
        faces: uint8: `(n, size, size)`, grey, or `(n, size, size, 3)`, BGR, where the network takes colour.
        spec: how a pixel becomes an input.
        threads: processor threads.
        progress: called after each face.
    """
    network = OpenNetwork(model, spec, threads)
    watched = network.computed
    bounds = np.empty((len(faces), len(watched), 2), np.float32)
    for number, face in enumerate(faces):
        network.run(face)
        for column, tensor in enumerate(watched):
            values = network.values(tensor)
            bounds[number, column] = values.min(), values.max()
        progress(number + 1, len(faces))
    return Extremes(tuple(map(network.graph.name, watched)), bounds[..., 0], bounds[..., 1])


def quantize_int8(model: bytes, extremes: Extremes, spec: InputSpec, percentile: float) -> bytes:
    """Quantize a float classifier: INT8 in and out and in between, nothing float.

    Convolutions get one scale a channel, dense layers one scale for all (the Edge TPU's compiler
    supports no other); biases are INT32. What one face in hundreds needs may cost all others their
    resolution, hence a percentile. Exceptions: the input's range is that of all 256 values of a pixel, the
    outputs' hold every face.

    Args:
        model: the content of a float .tflite file.
        extremes: the extremes of its tensors.
        spec: how a pixel becomes an input.
        percentile: a tensor's range reaches as far as the extremes of this part of the faces do, 0..100;
            100 is min/max.

    Returns:
        The content of a .tflite file.
    """
    names = qtyping.TFLOperationName
    tensorwise = qtyping.QuantGranularity.TENSORWISE
    statistics = _statistics(extremes, Graph(model), spec, percentile)
    with quiet():
        quantizer = Quantizer(bytearray(model))
        quantizer.add_static_config(".*", names.ALL_SUPPORTED, _BITS, _BITS)
        quantizer.add_static_config(".*", names.FULLY_CONNECTED, _BITS, _BITS, weight_granularity=tensorwise)
        result = quantizer.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    return settle(bytes(result.quantized_model))


def _statistics(
    extremes: Extremes, graph: Graph, spec: InputSpec, percentile: float
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Ranges as the quantizer takes them, by name of the tensor."""
    low = np.percentile(extremes.least, 100 - percentile, axis=0).astype(np.float32)
    high = np.percentile(extremes.greatest, percentile, axis=0).astype(np.float32)
    for tensor in graph.outputs:
        column = extremes.names.index(graph.name(tensor))
        low[column], high[column] = extremes.least[:, column].min(), extremes.greatest[:, column].max()
    for tensor in graph.inputs:
        column = extremes.names.index(graph.name(tensor))
        ends = [
            (pixel / 255 - mean) / std for mean, std in zip(spec.means, spec.stds, strict=True) for pixel in (0, 255)
        ]
        low[column], high[column] = min(ends), max(ends)
    # What is the same on every face, as behind units that have died, has no range; runtimes need one, and any will do.
    high = np.where(high > low, high, low + 1)
    return {name: {"min": low[column], "max": high[column]} for column, name in enumerate(extremes.names)}


def choose_percentile(
    model: bytes,
    extremes: Extremes,
    spec: InputSpec,
    faces: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    percentiles: Sequence[float] = PERCENTILES,
    threads: int = 2,
    progress: Progress = silent,
) -> Choice:
    """Quantize with ranges of every reach and keep the best.

    Best is what names the same expression as float32 on most faces; of equals, what has the smaller error
    of the logits; of equals still, what was tried first. Accuracy and likelihood are reported and do not decide:
    INT8 should do what float32 does. On a few hundred faces neighbours differ by a
    face or two: give as many as time allows.

    Args:
        model: the content of a float .tflite file.
        extremes: the extremes of its tensors on calibration faces.
        spec: how a pixel becomes an input.
        faces: faces of the validation split, in the form that `measure_extremes` takes.
        labels: `(n,)` indices into `LABELS`.
        percentiles: the candidates; see `quantize_int8`.
        threads: processor threads.
        progress: called after each face of each network.
    """
    total = len(faces) * (1 + len(percentiles))

    def logits_of(content: bytes, networks_done: int) -> NDArray[np.float64]:
        def report(done: int, _: int) -> None:
            progress(networks_done * len(faces) + done, total)

        return classify(content, faces, spec, threads=threads, progress=report)

    expected = logits_of(model, 0)
    tried: list[tuple[Cost, bytes]] = []
    for number, percentile in enumerate(percentiles, 1):
        content = quantize_int8(model, extremes, spec, percentile)
        tried.append((_cost(percentile, expected, logits_of(content, number), labels), content))
    chosen, content = min(tried, key=lambda pair: (-pair[0].agreement, pair[0].rmse))
    return Choice(
        chosen=chosen,
        costs=tuple(cost for cost, _ in tried),
        float_accuracy=score(expected, labels).accuracy,
        float_loss=negative_log_likelihood(expected, labels, 1.0),
        faces=len(faces),
        model=content,
    )


def _cost(
    percentile: float, expected: NDArray[np.float64], found: NDArray[np.float64], labels: NDArray[np.int64]
) -> Cost:
    return Cost(
        percentile=percentile,
        rmse=float(np.sqrt(np.mean((found - expected) ** 2))),
        agreement=agreement(expected, found),
        accuracy=score(found, labels).accuracy,
        loss=negative_log_likelihood(found, labels, 1.0),
    )
