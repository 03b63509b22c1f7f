"""Model cards, made from what was measured.

Mitchell et al., "Model Cards for Model Reporting", 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_fer.lab.evaluate import Score
from edge_fer.lab.graph import Graph
from edge_fer.models import ModelSpec
from edge_fer.types import LABELS


@dataclass(frozen=True, slots=True)
class ClassifierFacts:
    """What was measured of a classifier.

    Attributes:
        float32: before quantization.
        int8: after it, on the same faces.
        agreement: part of the faces on which both name the same expression.
        temperature: fitted to the INT8 logits.
        loss_before: negative log likelihood of the INT8 logits, nats.
        loss_after: the same at that temperature.
        calibration_faces: how many the ranges were measured on.
        seed: of their draw.
    """

    float32: Score
    int8: Score
    agreement: float
    temperature: float
    loss_before: float
    loss_after: float
    calibration_faces: int
    seed: int


_MTCNN_PURPOSE = {
    "propose": "proposes windows that may hold a face, on every scale of the picture (P-Net)",
    "refine": "throws out most of the proposals and moves the others (R-Net)",
    "output": "decides, moves the boxes a last time and gives five landmarks (O-Net)",
}


def mtcnn_card(name: str, spec: ModelSpec, graph: Graph, parameters: int, difference: float, licence: str) -> str:
    """The card of one of MTCNN's nets.

    Args:
        name: in the manifest.
        spec: its entry there.
        graph: of the file.
        parameters: how many trained numbers it has.
        difference: from PyTorch on random input, as a part of the output's range.
        licence: file with the licence's text.
    """
    outputs = ", ".join(f"`{graph.name(tensor)}` {graph.shape(tensor)}" for tensor in graph.outputs)
    return f"""# {name}

One of the three nets of MTCNN (Zhang et al., 2016); it {_MTCNN_PURPOSE[spec.task]}.

{_facts(name, spec, graph, parameters)}
| outputs | {outputs}; -1 is any size |

## Source and licence

Weights: {spec.source}. Licence: {spec.licence}, its text in
`{licence}`. Written by `edge-fer lab export` without any change to them; on random input the file is at most
{difference:.1e} of the output's range from the PyTorch definition.

## Training data

Not trained by this project. By its authors' paper: WIDER FACE for boxes, CelebA for landmarks.

## Intended use and limits

To find faces for the classifier beside it. It finds faces, whosoever they are; it identifies nobody. Faces
that are small, dark, blurred, covered or turned far away are missed, and the pictures it learned from are not
a fair sample of mankind. How well it agrees with the package it comes from is tested in `tests/`, not stated here.
"""


def classifier_card(name: str, spec: ModelSpec, graph: Graph, parameters: int, facts: ClassifierFacts) -> str:
    """The card of a classifier.

    Args:
        name: in the manifest.
        spec: its entry there.
        graph: of the file.
        parameters: how many trained numbers it has.
        facts: what was measured.
    """
    assert spec.accuracy is not None
    float32, int8 = facts.float32, facts.int8
    return f"""# {name}

SE-ResNet-50 (Hu et al., 2018, in the variant of VGGFace2, Cao et al., 2018) that names the expression of
a face: {", ".join(LABELS)}.

{_facts(name, spec, graph, parameters)}
| output | {len(LABELS)} logits, INT8; divided by the temperature {facts.temperature:.2f} before the softmax |

## Measured

On {spec.accuracy.images} faces: {spec.accuracy.dataset}; label: where most annotators agree.

| | float32 | INT8 |
|---|---|---|
| accuracy | {float32.accuracy:.1%} | {int8.accuracy:.1%} |

Both name the same expression on {facts.agreement:.1%} of these faces. The temperature was fitted on them
(Guo et al., 2017): negative log likelihood {facts.loss_before:.3f} before, {facts.loss_after:.3f} after.
It was chosen on the faces that the accuracy is stated for; the accuracy does not depend on it.

{_per_class(float32, int8)}

Recall: the part of the faces of an expression that get its name. Precision: the part of the faces so named
that are right; "-" where no face was so named.

## Quantization

Ranges from {facts.calibration_faces} faces of the training split (seed {facts.seed}) that were pasted into pictures,
found by the runtime's detector and cut out by its alignment; convolutions with one scale a channel, dense layers
with one scale. Operators: {graph.summary()}. No version is newer than TensorFlow 2.5's.
How far the ranges reach (95 % of the faces) was chosen among five ways by the error of the logits against float32,
without labels, on 300 of the validation faces that the accuracy above is stated for.

## Source and licence

Weights: {spec.source}. Licence: {spec.licence}. Nobody has cleared these pictures for commercial use: ask a
lawyer before you sell anything that holds this file.

## Training data

FER2013's training split (28,561 grey faces of 48x48 pixels, collected by a web search for emotion words), with
the votes of ten annotators (FER+) and FER2013's own labels, which name the same expression on 63 % of the images.
Nothing was measured by age, sex, skin colour or culture: the data name none.

## Intended use and limits

Research on, and demonstration of, expression recognition on small devices. The output says what annotators
would call the look of a face; it does not say what a person feels. The network is under-trained, and its weak
classes are weak indeed: see the table. It was trained on grey faces 48 pixels wide.
Do not decide anything about a person with it. In the European Union, inferring emotions at work and in education
is prohibited (AI Act, Article 5), and elsewhere people must be told (Article 50).
"""


def _facts(name: str, spec: ModelSpec, graph: Graph, parameters: int) -> str:
    picture = spec.input
    shape = graph.shape(graph.inputs[0])
    return f"""| | |
|---|---|
| file | `{name}.tflite`, sha256 `{spec.sha256[:16]}...`, {spec.quantization} |
| parameters | {parameters:,} |
| input | {shape}, NHWC, {picture.colour}: (pixel / 255 - {picture.mean:.6g}) / {picture.std:.6g} |"""


def _per_class(float32: Score, int8: Score) -> str:
    rows = ["| expression | faces | recall float32 | recall INT8 | precision INT8 |", "|---|---|---|---|---|"]
    columns = zip(LABELS, int8.counts, float32.recall, int8.recall, int8.precision, strict=True)
    for label, count, *shares in columns:
        rows.append(f"| {label} | {count} | {' | '.join(_percent(share) for share in shares)} |")
    return "\n".join(rows)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"
