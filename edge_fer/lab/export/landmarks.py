"""From a trained network of landmarks to its INT8 file, with card and manifest entry."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_fer.expression.face_features import small_face
from edge_fer.expression.landmarks import LandmarkNetwork
from edge_fer.inference import open_backend
from edge_fer.inference.manifest import LandmarkAccuracy, LandmarksSpec
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.export.convert import check_agreement, convert, parameters
from edge_fer.lab.export.model_card import file_table
from edge_fer.lab.export.quantize import measure_extremes, quantize_int8
from edge_fer.lab.model_folder import update_manifest, write_artefact, write_card
from edge_fer.lab.networks.lm68 import INPUT, LandmarkNet
from edge_fer.lab.training.landmarks import find_with, landmark_error
from edge_fer.lab.weights.provenance import Provenance

_FACES = 256  # to measure ranges on

PROVENANCE = Provenance(
    source="trained by `edge-fer lab lm68` on the landmarks that dlib finds in the faces of a data set",
    licence="no commercial use: dlib's weights learned from iBUG 300-W, whose licence excludes it",
)


def export_landmarks(net: LandmarkNet, dataset: Dataset, folder: Path, name: str, report: Reporter) -> LandmarksSpec:
    """Write the INT8 network, measured on the validation faces.

    Args:
        net: the trained network.
        dataset: the faces, with landmarks.
        folder: the folder of the artefacts.
        name: name of the entry.
        report: receives lines and progress.

    Raises:
        ModelError: when the graph breaks a rule of the Edge TPU.
        SourceError: when a face cannot be read.
        OutputError: when the folder cannot be written.
    """
    report.say(f"{name}: converting")
    float_model = convert(net, INPUT.size, channels=1)
    check_agreement(net, float_model, [(1, INPUT.size, INPUT.size, 1)])
    training, validation = dataset.only(Split.TRAINING), dataset.only(Split.VALIDATION)
    drawn = np.random.default_rng(0).permutation(len(training))[:_FACES]
    faces = np.stack([small_face(training.images[int(index)]) for index in drawn])
    content = quantize_int8(float_model, measure_extremes(float_model, faces, INPUT), INPUT, 100)
    graph = check_int8(content)
    spec = LandmarksSpec(
        task="landmarks",
        input=INPUT,
        quantization="int8",
        source=PROVENANCE.source,
        licence=PROVENANCE.licence,
        **write_artefact(folder, name, content),
    )
    opened, doing = open_backend("cpu", content), f"float32 and INT8 on {len(validation)} validation faces"
    with LandmarkNetwork(name, spec, opened) as deployed, report.step(doing) as progress:
        errors = [landmark_error(find, validation, progress) for find in (find_with(net), deployed.find)]
    accuracy = LandmarkAccuracy(
        dataset=f"{dataset.name}, validation split", images=len(validation), error=round(errors[1], 4)
    )
    spec = spec.model_copy(update={"accuracy": accuracy})
    report.say(
        f"{name}: {parameters(net):,} parameters, {len(content) / 1e3:.0f} kB; mean distance {errors[0]:.2%} of that "
        f"between the eyes, INT8 {errors[1]:.2%}"
    )
    table = file_table(name, spec, graph, parameters(net))
    write_card(folder, spec, _card(name, table, spec, errors[0], graph.summary()))
    update_manifest(folder, {name: spec})
    return spec


def _card(name: str, table: str, spec: LandmarksSpec, float_error: float, operators: str) -> str:
    assert spec.accuracy is not None
    return f"""# {name}

A small network shaped like MTCNN's O-Net that finds the 68 landmarks of iBUG 300-W in a face of 48x48 pixels, for
networks that read hand-made features of the face beside its picture.

{table}
| output | 136 values, x and y in turns, pixels |
| operators | {operators} |

## Measured

On {spec.accuracy.images:,} faces ({spec.accuracy.dataset}): mean distance from dlib's landmarks, as a part of the
distance between the outer corners of the eyes: {float_error:.2%} in float32, {spec.accuracy.error:.2%} in INT8. It is
no distance from where people would put them: dlib's own errors are learned, too.

## Source and licence

Weights: {spec.source}. Licence: {spec.licence}.

## Intended use and limits

To bring features of a face to the network beside it, nothing else: it finds landmarks in anything, also where no face
is. It identifies nobody.
"""
