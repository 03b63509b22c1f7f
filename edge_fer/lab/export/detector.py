"""From a trained detector to its INT8 file, with card and manifest entry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_fer.inference.manifest_detect import STRIDES
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.console import Progress, silent
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.export.convert import check_agreement, convert
from edge_fer.lab.export.quantize import Extremes, measure_extremes, quantize_int8
from edge_fer.lab.networks.yolov3_tiny import YoloV3Tiny
from edge_fer.lab.tflite.graph import Graph

_LARGEST_LOGIT = 8.0
"""An output's range ends here: behind a sigmoid more says nothing, and the exponents of sizes need the fine steps."""


def float_detector(net: YoloV3Tiny) -> bytes:
    """The network as a float .tflite file.

    Raises:
        ModelError: when the file differs from PyTorch.
    """
    content = convert(net, net.resolution, maps=len(STRIDES))
    check_agreement(net, content, [(1, net.resolution, net.resolution, 3)])
    return content


def detector_ranges(
    net: YoloV3Tiny, float_model: bytes, pictures: NDArray[np.uint8], progress: Progress = silent
) -> Extremes:
    """The range of every tensor on pictures.

    Args:
        net: the network.
        float_model: its float file.
        pictures: `(n, side, side, 3)` uint8, BGR.
        progress: called after each picture.
    """
    extremes = measure_extremes(float_model, pictures, input_spec(net), progress=progress)
    return _bounded(extremes, Graph(float_model))


def int8_detector(net: YoloV3Tiny, float_model: bytes, ranges: Extremes, percentile: float = 100.0) -> bytes:
    """The network as an INT8 .tflite file.

    Args:
        net: the network.
        float_model: its float file.
        ranges: from `detector_ranges`.
        percentile: see `quantize_int8`.

    Raises:
        ModelError: when the graph breaks a rule of the Edge TPU, as that of a network with leaky ReLUs does.
    """
    content = quantize_int8(float_model, ranges, input_spec(net), percentile)
    check_int8(content)
    return content


def input_spec(net: YoloV3Tiny) -> InputSpec:
    """How a picture becomes the network's input, for its manifest entry."""
    expected = net.input
    return InputSpec(size=expected.side, colour=expected.colour, mean=expected.mean[0], std=expected.std[0])


def _bounded(extremes: Extremes, graph: Graph) -> Extremes:
    least, greatest = extremes.least.copy(), extremes.greatest.copy()
    for tensor in graph.outputs:
        column = extremes.names.index(graph.name(tensor))
        least[:, column] = np.maximum(least[:, column], -_LARGEST_LOGIT)
        greatest[:, column] = np.minimum(greatest[:, column], _LARGEST_LOGIT)
    return replace(extremes, least=least, greatest=greatest)
