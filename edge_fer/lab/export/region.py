"""A spatial transformer as it is deployed: one network says where to look, the runtime cuts that out, another reads it.

The sampler between them (`grid_sample`) would become gathers, which no accelerator runs and an INT8 file is slow at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_fer.expression.region import RegionFinder, Theta, cut_out
from edge_fer.inference import open_backend
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.console import Reporter
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.export.convert import check_agreement, convert
from edge_fer.lab.export.deployed import input_spec
from edge_fer.lab.export.quantize import PERCENTILES, measure_extremes, quantize_int8
from edge_fer.lab.networks.base import Network
from edge_fer.lab.networks.spatial_transformer import SpatialTransformer

Faces = NDArray[np.uint8]
"""`(n, size, size)`, grey, or `(n, size, size, 3)`, BGR."""

View = Callable[[Faces], Faces]
"""From faces to what the network that names expressions sees of them."""


@dataclass(frozen=True, slots=True)
class Views:
    """What the network that names expressions sees of faces.

    Attributes:
        before: before quantization.
        after: after it.
        where: content of the INT8 file that says where to look; None for a network that sees whole faces.
    """

    before: View = lambda faces: faces
    after: View = lambda faces: faces
    where: bytes | None = None


class Where(nn.Module):
    """The part of a spatial transformer that says where to look."""

    def __init__(self, net: SpatialTransformer) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """The `(n, 6)` numbers of `SpatialTransformer.theta`."""
        return self.net.theta(image)


def views_of(net: Network, faces: Faces, report: Reporter) -> Views:
    """Convert and quantize the part of a network that says where to look, if it has one.

    The ranges are those of which the region is nearest to float32's on these faces.

    Args:
        net: the network.
        faces: of the training split.
        report: receives a line.

    Raises:
        ModelError: when the graph breaks a rule of the Edge TPU.
    """
    if not isinstance(net, SpatialTransformer):
        return Views()
    spec, channels = input_spec(net), net.input.channels
    float_model = convert(Where(net), net.side, channels)
    difference = check_agreement(Where(net), float_model, [(1, net.side, net.side, channels)])
    extremes, expected = measure_extremes(float_model, faces, spec), thetas(float_model, faces, spec)
    candidates = [quantize_int8(float_model, extremes, spec, percentile) for percentile in PERCENTILES]
    errors = [float(np.abs(thetas(content, faces, spec) - expected).mean()) for content in candidates]
    where = candidates[int(np.argmin(errors))]
    graph = check_int8(where)
    report.say(
        f"where to look: float at most {difference:.1e} from PyTorch; INT8 {min(errors) * net.side / 2:.2f} pixels "
        f"from float on the mean; {graph.summary()}"
    )
    return Views(view_of(float_model, spec), view_of(where, spec), where)


def thetas(model: bytes, faces: Faces, spec: InputSpec) -> Theta:
    """Where a network looks in each of some faces, `(n, 2, 3)`.

    Args:
        model: the content of a .tflite file.
        faces: the faces.
        spec: how a pixel becomes an input.
    """
    with RegionFinder("the network", spec, open_backend("cpu", model)) as finder:
        return np.stack([finder.find(face) for face in faces])


def view_of(model: bytes, spec: InputSpec) -> View:
    """What is seen of faces by the word of a network that says where to look.

    Args:
        model: the content of its .tflite file.
        spec: how a pixel becomes an input.
    """

    def view(faces: Faces) -> Faces:
        places = thetas(model, faces, spec)
        return np.stack([cut_out(face, theta, spec) for face, theta in zip(faces, places, strict=True)])

    return view
