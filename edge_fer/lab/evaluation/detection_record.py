"""What `edge-fer lab evaluate-detector` measured: the record `edge-fer/detection-evaluation/1`, and as tables.

Average precisions are 0..1 at an overlap (IoU) of 0.5; null where there is nothing to find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from edge_fer.lab.evaluation.detectors import Searched
from edge_fer.lab.evaluation.metrics_detection import SIZES, DetectionScore, recall_and_false_faces, score_detections
from edge_fer.lab.evaluation.tables import percent, table
from edge_fer.lab.files import Record
from edge_fer.types import LABELS


class DetectorResult(Record):
    """One detector on the pictures.

    Attributes:
        name: the detector, and the classifier beside it, where it has one.
        sha256: of the file of a one-pass network; null for several files.
        mean: mean over the labels that occur (mAP).
        labels: average precision of each expression.
        faces: of faces, whatever they show.
        faces_from_32: of those of at least 32 pixels.
        by_size: of faces by the least size of their class, pixels.
        score: from which a run shows faces.
        recall: part of the faces found from that score.
        false_faces: wrong boxes a picture from that score.
        milliseconds: median time of a picture on the processor, one thread.
    """

    name: str
    sha256: str | None
    mean: float | None
    labels: dict[str, float | None]
    faces: float | None
    faces_from_32: float | None
    by_size: dict[str, float | None]
    score: float
    recall: float
    false_faces: float
    milliseconds: float


class DetectionEvaluation(Record):
    """Detectors on the same pictures.

    Attributes:
        schema_: name and version of this record.
        date: when it was measured, UTC.
        versions: of the packages that decide the result.
        machine: where it was measured.
        dataset: which pictures, in words.
        pictures: how many.
        faces: how many faces in them.
        unlabelled: faces among them on which no expression counts.
        detectors: the results, that of the network in question first.
    """

    schema_: Literal["edge-fer/detection-evaluation/1"] = Field("edge-fer/detection-evaluation/1", alias="schema")
    date: str
    versions: dict[str, str]
    machine: dict[str, str]
    dataset: str
    pictures: int
    faces: int
    unlabelled: int
    detectors: tuple[DetectorResult, ...]


def detector_result(name: str, sha256: str | None, searched: Searched, score: float) -> DetectorResult:
    """The figures of a detector.

    Args:
        name: see `DetectorResult`.
        sha256: see `DetectorResult`.
        searched: what it found.
        score: from which a run shows faces.
    """
    measured: DetectionScore = score_detections(searched.truths, searched.found)
    recall, false_faces = recall_and_false_faces(searched.truths, searched.found, score)
    return DetectorResult(
        name=name,
        sha256=sha256,
        mean=_known(measured.mean),
        labels={label: _known(value) for label, value in zip(LABELS, measured.labels, strict=True)},
        faces=_known(measured.faces),
        faces_from_32=_known(measured.from_32),
        by_size={f"{bound:g}": _known(value) for bound, value in zip(SIZES[:-1], measured.by_size, strict=True)},
        score=score,
        recall=recall,
        false_faces=false_faces,
        milliseconds=searched.milliseconds,
    )


def detection_markdown(evaluation: DetectionEvaluation) -> str:
    """The whole evaluation, for people."""
    machine = ", ".join(f"{key} {value}" for key, value in evaluation.machine.items())
    versions = ", ".join(f"{name} {number}" for name, number in evaluation.versions.items())
    parts = [
        f"# {evaluation.detectors[0].name}",
        f"{evaluation.pictures:,} pictures, {evaluation.faces:,} faces, {evaluation.unlabelled:,} of them without a "
        f"label that counts: {evaluation.dataset}. Average precision at an overlap of 0.5.",
        detection_table(evaluation.detectors),
        f"Measured {evaluation.date}: {machine}; {versions}.",
    ]
    return "\n\n".join(parts) + "\n"


def detection_table(results: Sequence[DetectorResult]) -> str:
    """Every figure of some detectors side by side."""
    rows = [
        ["mean over the expressions (mAP)", *(percent(one.mean) for one in results)],
        *([label, *(percent(one.labels[label]) for one in results)] for label in LABELS),
        ["faces", *(percent(one.faces) for one in results)],
        ["faces from 32 pixels", *(percent(one.faces_from_32) for one in results)],
        *([f"faces {_size(place)}", *(percent(one.by_size[key]) for one in results)] for place, key in _sizes()),
        ["score of a run", *(f"{one.score:.2f}" for one in results)],
        ["found from that score", *(percent(one.recall) for one in results)],
        ["false faces a picture from it", *(f"{one.false_faces:.2f}" for one in results)],
        ["median time, one thread", *(f"{one.milliseconds:.1f} ms" for one in results)],
    ]
    return table(["", *(one.name for one in results)], rows)


def count_faces(searched: Searched) -> tuple[int, int]:
    """How many faces there were, and how many of them without label."""
    labels = np.concatenate([truth.labels for truth in searched.truths])
    return len(labels), int((labels < 0).sum())


def _sizes() -> list[tuple[int, str]]:
    return [(place, f"{bound:g}") for place, bound in enumerate(SIZES[:-1])]


def _size(place: int) -> str:
    low, high = SIZES[place], SIZES[place + 1]
    return f"of {low:g} pixels and more" if math.isinf(high) else f"of {low:g} to {high:g} pixels"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)
