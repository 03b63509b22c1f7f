"""The lab's networks as ONNX files: the runtime's two ways to the CPU agree on the golden faces."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from edge_fer.expression.classifier import Classifier
from edge_fer.expression.golden_faces import golden_faces
from edge_fer.inference import open_backend
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import packaged_folder
from edge_fer.lab.export.convert import convert
from edge_fer.lab.export.deployed import input_spec
from edge_fer.lab.export.job import CROP
from edge_fer.lab.networks.base import Network
from edge_fer.lab.networks.mobilenet_v1 import MobileNetV1
from edge_fer.lab.networks.se_resnet50 import SEResNet50
from edge_fer.lab.weights.tflite import weights_from_tflite
from edge_fer.types import LABELS

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore")]  # the exporters', about themselves


def to_onnx(net: nn.Module, side: int) -> bytes:
    """The network as an .onnx file that takes NCHW and leaves the batch open."""
    target = io.BytesIO()
    torch.onnx.export(
        net.eval(), (torch.zeros(1, 3, side, side),), target, input_names=["image"],
        output_names=["logits"], dynamic_shapes=({0: "batch"},), dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    return target.getvalue()


def shipped() -> Network:
    return weights_from_tflite(Path(packaged_folder() / "se_resnet50.tflite"), SEResNet50)


def mobilenet(colour: Literal["grey", "rgb"]) -> Network:
    torch.manual_seed(0)
    net = MobileNetV1(0.25, 64, colour)
    with torch.no_grad():
        net.head.weight *= 100  # of random weights, so that faces differ
    return net


@pytest.mark.parametrize(
    "build", [shipped, lambda: mobilenet("grey"), lambda: mobilenet("rgb")], ids=["se_resnet50", "grey", "rgb"]
)
def test_a_network_is_the_same_in_onnx_and_litert(build: Callable[[], Network]) -> None:
    net = build().eval()
    spec = ClassifierSpec(
        task="classify", file="net.onnx", sha256="0" * 64, quantization="float32", input=input_spec(net),
        labels=LABELS, crop=CROP, temperature=0.8, source="a test", licence="none", card="net.md",
    )  # fmt: skip
    answers = []
    for content in (to_onnx(net, net.side), convert(net, net.side)):
        with open_backend("cpu", content, threads=2) as backend:
            classifier = Classifier("net", spec, backend)
            answers.append(np.array([classifier.values(face.image) for face in golden_faces(spec)]))
    np.testing.assert_allclose(*answers, atol=1e-4)
    assert np.ptp(answers[0], axis=1).min() > 1, "the faces are read as something"
