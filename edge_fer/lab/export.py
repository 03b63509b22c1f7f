"""From trained weights to `models/`: convert, quantize, check, measure, describe."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import litert_torch
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_fer.backends import open_backend
from edge_fer.errors import ModelError
from edge_fer.lab.calibration import calibration_faces
from edge_fer.lab.cards import ClassifierFacts, classifier_card, mtcnn_card
from edge_fer.lab.data import Usage, enlarge, load_ferplus
from edge_fer.lab.evaluate import agreement, classify, fit_temperature, negative_log_likelihood, score
from edge_fer.lab.graph import Graph
from edge_fer.lab.manifest import update_manifest, write_artefact, write_card, write_licence
from edge_fer.lab.networks import GREY_MEAN, GREY_STD, MtcnnNet, SEResNet50
from edge_fer.lab.quantize import measure_extremes, quantize_int8
from edge_fer.lab.report import Reporter
from edge_fer.lab.rules import check_int8
from edge_fer.lab.weights import MTCNN_NETS, load_mtcnn, load_se_resnet50
from edge_fer.lab.writer import write_mtcnn
from edge_fer.models import MANIFEST, Accuracy, CropSpec, InputSpec, ModelSpec, ModelStore, Task
from edge_fer.types import LABELS

CLASSIFIER = "se_resnet50"
CLASSIFIER_INPUT = InputSpec(size=224, colour="grey", mean=GREY_MEAN, std=GREY_STD)
CLASSIFIER_CROP = CropSpec(eye_distance=0.3, eye_y=0.37, detail=64)
MTCNN_TASKS: dict[str, Task] = {"pnet": "propose", "rnet": "refine", "onet": "output"}
TOLERANCE = 1e-5
"""How far the outputs of a float .tflite file may be from PyTorch's, as a part of their range (at least 1)."""

_DATASET = "FER+ validation (FER2013 PublicTest), data set crops, bicubic to 224"
_CLASSIFIER_SOURCE = "trained by this project from random weights on FER2013 pictures with FER+ and FER2013 labels"
_CLASSIFIER_LICENCE = "research use: trained on FER2013/FER+, whose pictures were collected from the web for research"
_MTCNN_SOURCE = "PyPI package mtcnn 1.0.0, whose weights come from facenet (after Zhang et al. 2016)"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the classifier is calibrated.

    Attributes:
        faces: how many of the training split.
        seed: of their draw.
    """

    faces: int = 512
    seed: int = 0


def export_mtcnn(folder: Path, report: Reporter) -> None:
    """Write MTCNN's three nets, float32, resizable, with cards and manifest entries.

    Raises:
        ModelError: when a net's weights do not fit or its file differs from PyTorch.
        OutputError: when the folder cannot be written.
    """
    specs = {}
    licence = write_licence(folder, "mtcnn")
    for net_name in MTCNN_NETS:
        name = f"mtcnn_{net_name}"
        net = load_mtcnn(net_name)
        content = write_mtcnn(net)
        difference = check_agreement(net, content, _mtcnn_shapes(net))
        report.say(f"{name}: {Graph(content).summary()}; at most {difference:.1e} from PyTorch")
        specs[name] = ModelSpec(
            task=MTCNN_TASKS[net_name],
            # The manifest's mean and deviation are of pixel / 255: together (pixel - 127.5) / 128.
            input=InputSpec(
                size=None if _is_convolutional(net) else net.input_size, colour="rgb", mean=0.5, std=128 / 255
            ),
            quantization="float32",
            source=_MTCNN_SOURCE,
            licence="MIT",
            **write_artefact(folder, name, content),
        )
        card = mtcnn_card(name, specs[name], Graph(content), parameters(net), difference, licence)
        write_card(folder, specs[name], card)
    update_manifest(folder, specs)


def _is_convolutional(net: nn.Module) -> bool:
    return not any(isinstance(layer, nn.Linear) for layer in net.modules())


def _mtcnn_shapes(net: MtcnnNet) -> list[tuple[int, ...]]:
    """Input shapes (NHWC) to compare on: the smallest one, and others that the file must take."""
    size = net.input_size
    if _is_convolutional(net):
        return [(1, size, size, 3), (1, 97, 64, 3), (1, 134, 239, 3)]
    return [(1, size, size, 3), (7, size, size, 3)]


def parameters(net: nn.Module) -> int:
    """How many trained numbers a network has, statistics of batch norms not counted."""
    return sum(parameter.numel() for parameter in net.parameters())


def check_agreement(net: nn.Module, content: bytes, shapes: Sequence[tuple[int, ...]]) -> float:
    """Compare a float .tflite file with its network on random input.

    Args:
        net: takes NCHW.
        content: of the file, which takes NHWC.
        shapes: of the inputs, NHWC.

    Returns:
        The greatest difference, as a part of the output's range (at least 1).

    Raises:
        ModelError: when that is above `TOLERANCE`.
    """
    generator = np.random.default_rng(0)
    worst = 0.0
    for shape in shapes:
        image = generator.uniform(-1, 1, shape).astype(np.float32)
        with open_backend("cpu", content, input_shape=shape) as backend:
            found = backend.infer(image)
        pairs = zip(found, _run(net, image), strict=True)
        worst = max(worst, *(float(np.abs(ours - theirs).max() / max(1, np.ptp(theirs))) for ours, theirs in pairs))
    if worst > TOLERANCE:
        raise ModelError(f"expected the converted network within {TOLERANCE} of PyTorch, found {worst:.1e}")
    return worst


def _run(net: nn.Module, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    with torch.no_grad():
        outputs = net(torch.from_numpy(image).permute(0, 3, 1, 2))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return [(output.permute(0, 2, 3, 1) if output.ndim == 4 else output).numpy() for output in outputs]


def export_classifier(weights: Path, data: Path, folder: Path, recipe: Recipe, report: Reporter) -> None:
    """Write the INT8 classifier with its card and manifest entry, measured on the validation faces.

    Raises:
        ModelError: when the weights do not fit, or the graph breaks a rule of the Edge TPU.
        SourceError: when the faces cannot be read.
        OutputError: when the folder cannot be written.
    """
    size = CLASSIFIER_INPUT.size
    assert size is not None
    net = load_se_resnet50(weights)
    with report.step(f"finding and aligning {recipe.faces} faces to calibrate on") as progress:
        faces = calibration_faces(
            data,
            ModelStore(folder if (folder / MANIFEST).is_file() else None),
            CLASSIFIER_CROP,
            count=recipe.faces,
            size=size,
            seed=recipe.seed,
            progress=progress,
        )
    float_model = convert(net, size)
    difference = check_agreement(net, float_model, [(1, size, size, 3)])
    report.say(f"{CLASSIFIER}: {parameters(net) / 1e6:.2f} M parameters; float at most {difference:.1e} from PyTorch")
    with report.step(f"calibrating on {len(faces)} faces") as progress:
        extremes = measure_extremes(float_model, faces, CLASSIFIER_INPUT, progress=progress)
    int8_model = quantize_int8(float_model, extremes, CLASSIFIER_INPUT)
    graph = check_int8(int8_model)
    report.say(f"{CLASSIFIER}: full INT8 and no rule of the Edge TPU broken: {graph.summary()}")
    facts = _measure(float_model, int8_model, data, recipe, report)
    spec = ModelSpec(
        task="classify",
        input=CLASSIFIER_INPUT,
        quantization="int8",
        labels=LABELS,
        crop=CLASSIFIER_CROP,
        temperature=facts.temperature,
        accuracy=Accuracy(
            dataset=_DATASET,
            images=facts.float32.images,
            float32=round(facts.float32.accuracy, 4),
            int8=round(facts.int8.accuracy, 4),
            agreement=round(facts.agreement, 4),
        ),
        source=_CLASSIFIER_SOURCE,
        licence=_CLASSIFIER_LICENCE,
        **write_artefact(folder, CLASSIFIER, int8_model),
    )
    write_card(folder, spec, classifier_card(CLASSIFIER, spec, graph, parameters(net), facts))
    update_manifest(folder, {CLASSIFIER: spec})


def convert(net: SEResNet50, size: int) -> bytes:
    """The network as a float .tflite file that takes NHWC, batch norms folded into the convolutions."""
    wrapped: Any = litert_torch.to_channel_last_io(net, args=[0]).eval()
    converted = litert_torch.convert(wrapped, (torch.zeros(1, size, size, 3),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.tflite"
        converted.export(str(path))
        return path.read_bytes()


def _measure(float_model: bytes, int8_model: bytes, data: Path, recipe: Recipe, report: Reporter) -> ClassifierFacts:
    """Run both networks over the validation faces."""
    faces = load_ferplus(data, Usage.VALIDATION)
    size = CLASSIFIER_INPUT.size
    assert size is not None
    images = enlarge(faces.images, size)
    logits = {}
    for kind, model in (("float32", float_model), ("int8", int8_model)):
        with report.step(f"{kind} on {len(images)} validation faces") as progress:
            logits[kind] = classify(model, images, CLASSIFIER_INPUT, progress=progress)
    temperature = fit_temperature(logits["int8"], faces.labels)
    facts = ClassifierFacts(
        float32=score(logits["float32"], faces.labels),
        int8=score(logits["int8"], faces.labels),
        agreement=agreement(logits["float32"], logits["int8"]),
        temperature=temperature,
        loss_before=negative_log_likelihood(logits["int8"], faces.labels, 1.0),
        loss_after=negative_log_likelihood(logits["int8"], faces.labels, temperature),
        calibration_faces=recipe.faces,
        seed=recipe.seed,
    )
    report.say(
        f"{CLASSIFIER}: accuracy float32 {facts.float32.accuracy:.2%}, INT8 {facts.int8.accuracy:.2%}, "
        f"same label on {facts.agreement:.2%} of {facts.int8.images} faces; temperature {temperature:.2f}"
    )
    return facts
