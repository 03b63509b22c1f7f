"""From a run's weights to a deployed detector: quantize, choose ranges, calibrate, measure; card and manifest entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_fer.faces.boxes import overlap
from edge_fer.inference.manifest_detect import DetectionAccuracy, DetectorSpec
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.detection.pictures import (
    UNLABELLED,
    DetectionSet,
    LabelledPicture,
    LabelledPictures,
)
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.evaluation.detection_record import DetectorResult, detector_result
from edge_fer.lab.evaluation.detectors import OnePass, Searched, search_all
from edge_fer.lab.evaluation.metrics import fit_temperature
from edge_fer.lab.evaluation.metrics_detection import LEAST_IOU, recall_and_false_faces
from edge_fer.lab.export.convert import parameters
from edge_fer.lab.export.detector import detector_ranges, float_detector, input_spec, int8_detector
from edge_fer.lab.export.detector_card import detector_card
from edge_fer.lab.export.detector_record import DetectorExport
from edge_fer.lab.export.quantize import Extremes
from edge_fer.lab.files import write_record
from edge_fer.lab.model_folder import update_manifest, write_artefact, write_card
from edge_fer.lab.networks.yolov3_tiny import YoloV3Tiny
from edge_fer.lab.training.detection_batches import fitted
from edge_fer.lab.weights.provenance import Provenance
from edge_fer.types import LABELS

Quantization = Literal["int8", "float32"]

PERCENTILES = (100.0, 99.9, 99.0)
"""How far ranges may reach, to choose from; see `quantize_int8`."""

_SCORES = tuple(score / 20 for score in range(2, 19))  # a run's score is one of these
_ANY_SCORE = 0.5  # on which average precision does not depend
_FEWEST = 50  # labelled faces that a temperature can be fitted on


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """How a detector is exported.

    Attributes:
        name: its name in the manifest.
        provenance: what the card states of the weights.
        calibrate_on: training pictures that ranges are measured on.
        choose_on: validation pictures that ranges, score and temperature are chosen on.
        measure_on: all validation pictures that are used; what was not chosen on is measured.
    """

    name: str = "yolov3_tiny"
    provenance: Provenance = field(default_factory=Provenance)
    calibrate_on: int = 256
    choose_on: int = 200
    measure_on: int = 600


@dataclass(frozen=True, slots=True)
class _Rest:
    """The pictures of a set behind the first ones."""

    pictures: LabelledPictures
    first: int
    name: str

    def __len__(self) -> int:
        return max(0, len(self.pictures) - self.first)

    def __getitem__(self, index: int, /) -> LabelledPicture:
        return self.pictures[self.first + index]


def export_detector(
    net: YoloV3Tiny, pictures: DetectionSet, folder: Path, plan: DetectorPlan, report: Reporter
) -> DetectorExport:
    """Write the INT8 network, its card, its record and its manifest entry.

    Args:
        net: the trained network.
        pictures: training pictures to calibrate on, validation ones to choose and measure on.
        folder: the folder of the artefacts.
        plan: how.
        report: receives lines and progress.

    Raises:
        ModelError: when the graph breaks a rule of the Edge TPU.
        SourceError: when a picture cannot be read.
        OutputError: when the folder cannot be written.
    """
    report.say(f"{plan.name}: converting, which takes a while")
    float_model = float_detector(net)
    count = min(plan.calibrate_on, len(pictures.training))
    shown = np.stack([fitted(pictures.training[number], net.resolution).image for number in range(count)])
    with report.step(f"measuring ranges on {count} pictures") as progress:
        extremes = detector_ranges(net, float_model, shown, progress)
    chosen = _choose(net, float_model, extremes, pictures.validation, plan, report)
    rest = _Rest(pictures.validation, plan.choose_on, pictures.validation.name)
    most = plan.measure_on - plan.choose_on

    def measured(content: bytes, kind: Quantization) -> DetectorResult:
        searched = _search(net, content, kind, rest, most, f"{kind} on other pictures", report)
        return detector_result(f"{plan.name}, {kind}", None, searched, chosen.score)

    graph = check_int8(chosen.content)
    artefact = write_artefact(folder, plan.name, chosen.content)
    record = DetectorExport(
        sha256=artefact["sha256"],
        provenance=plan.provenance,
        network=net.PUBLICATION,
        width=net.width,
        parameters=parameters(net),
        operators=graph.summary(),
        percentile=chosen.percentile,
        calibrated_on=count,
        chosen_on=chosen.pictures,
        candidates=chosen.candidates,
        dataset=rest.name,
        pictures=min(most, len(rest)),
        float32=measured(float_model, "float32"),
        int8=measured(chosen.content, "int8"),
    )
    spec = _spec(net, artefact, plan.provenance, record, chosen)
    write_record(folder / f"{plan.name}.export.json", record)
    write_card(folder, spec, detector_card(plan.name, spec, graph, record))
    update_manifest(folder, {plan.name: spec})
    return record


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The network as it was chosen on some pictures, and what was tried; see `DetectorExport`."""

    content: bytes
    percentile: float
    candidates: dict[str, float | None]
    pictures: int
    score: float
    temperature: float


def _choose(
    net: YoloV3Tiny,
    float_model: bytes,
    extremes: Extremes,
    pictures: LabelledPictures,
    plan: DetectorPlan,
    report: Reporter,
) -> _Chosen:
    """The ranges with the best mean average precision, and score and temperature of the network with these."""
    unquantized = _search(net, float_model, "float32", pictures, plan.choose_on, "float32", report)
    contents = {percentile: int8_detector(net, float_model, extremes, percentile) for percentile in PERCENTILES}
    searched = {
        percentile: _search(net, content, "int8", pictures, plan.choose_on, f"INT8, {_named(percentile)}", report)
        for percentile, content in contents.items()
    }
    means = {percentile: _mean(one) for percentile, one in searched.items()}
    best = max(means, key=lambda percentile: means[percentile] or 0.0)
    logits, labels = _matched(net, contents[best], pictures, plan.choose_on)
    return _Chosen(
        content=contents[best],
        percentile=best,
        candidates={"float32": _mean(unquantized), **{_named(percentile): mean for percentile, mean in means.items()}},
        pictures=len(searched[best].truths),
        score=_best_score(searched[best]),
        temperature=fit_temperature(logits, labels) if len(labels) >= _FEWEST else 1.0,
    )


def _named(percentile: float) -> str:
    return f"percentile {percentile:g}"


def _mean(searched: Searched) -> float | None:
    """Mean average precision; None where there is nothing to find."""
    return detector_result("the network", None, searched, _ANY_SCORE).mean


def _best_score(searched: Searched) -> float:
    """The score at which as many faces are found and as few others as can be (F1)."""

    def f1(score: float) -> float:
        recall, false_faces = recall_and_false_faces(searched.truths, searched.found, score)
        faces = sum(int((truth.labels != UNLABELLED).sum()) for truth in searched.truths)
        right, wrong = recall * faces, false_faces * len(searched.truths)
        return 2 * right / max(right + wrong + faces, 1)

    return max(_SCORES, key=f1)


def _matched(
    net: YoloV3Tiny, content: bytes, pictures: LabelledPictures, count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits and label of each labelled face that is found."""
    logits, labels = [], []
    with OnePass("the network", _bare_spec(net), content) as network:
        for number in range(min(count, len(pictures))):
            picture = pictures[number]
            found = network.detections(picture.image)
            overlaps = overlap(picture.boxes, found.boxes)
            for place, label in enumerate(picture.labels.tolist()):
                if label >= 0 and len(found) and overlaps[place].max() >= LEAST_IOU:
                    logits.append(found.logits[overlaps[place].argmax()])
                    labels.append(label)
    return np.array(logits, np.float64).reshape(-1, len(LABELS)), np.array(labels, np.int64)


def _search(
    net: YoloV3Tiny,
    content: bytes,
    quantization: Quantization,
    pictures: LabelledPictures,
    count: int,
    doing: str,
    report: Reporter,
) -> Searched:
    with OnePass("the network", _bare_spec(net, quantization), content) as network, report.step(doing) as progress:
        return search_all(network, pictures, count, progress)


def _bare_spec(net: YoloV3Tiny, quantization: Quantization = "int8") -> DetectorSpec:
    """What is known of a network before it is measured."""
    return DetectorSpec(
        task="detect",
        input=input_spec(net),
        labels=LABELS,
        anchors=tuple(net.anchors),
        quantization=quantization,
        file="-",
        sha256="0" * 64,
        source="-",
        licence="-",
        card="-",
    )


def _spec(
    net: YoloV3Tiny,
    artefact: dict[str, str],
    provenance: Provenance,
    record: DetectorExport,
    chosen: _Chosen,
) -> DetectorSpec:
    accuracy = DetectionAccuracy(
        dataset=record.dataset,
        images=record.pictures,
        faces=round(record.int8.faces or 0.0, 4),
        float32=round(record.float32.mean or 0.0, 4),
        int8=round(record.int8.mean or 0.0, 4),
    )
    known = {"source": provenance.source, "licence": provenance.licence, **artefact}
    changes = {**known, "score": chosen.score, "temperature": round(chosen.temperature, 4), "accuracy": accuracy}
    return DetectorSpec.model_validate(_bare_spec(net).model_dump() | changes)
