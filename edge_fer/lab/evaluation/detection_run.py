"""Measures a one-pass network beside MTCNN with classifiers, on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from importlib.metadata import version

from edge_fer.common.machine import machine
from edge_fer.faces.detectors.mtcnn.detector import SCORE
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.detection.pictures import LabelledPictures
from edge_fer.lab.evaluation.detection_record import (
    DetectionEvaluation,
    DetectorResult,
    count_faces,
    detector_result,
)
from edge_fer.lab.evaluation.detectors import Cascade, DetectionContender, OnePass, Searched, search_all

_PACKAGES = ("edge-fer", "ai-edge-litert", "numpy", "opencv-python-headless")


def evaluate_detectors(
    store: ModelStore, model: str, cascades: Sequence[str], pictures: LabelledPictures, count: int, report: Reporter
) -> DetectionEvaluation:
    """Measure detectors in turns on the first pictures of a set.

    Args:
        store: the folder of the network and, where it has them, of the others; else those that are shipped are taken.
        model: name of the one-pass network.
        cascades: names of classifiers to put behind MTCNN.
        pictures: the pictures.
        count: how many at most.
        report: receives progress.

    Raises:
        ModelError: when a network is missing or corrupt.
        SourceError: when a picture cannot be read.
    """
    spec = store.spec(model, "detect")
    results: list[DetectorResult] = []
    searched: Searched | None = None
    with ExitStack() as stack:
        network = stack.enter_context(OnePass(model, spec, store.load(model, "detect")))
        contenders: list[tuple[DetectionContender, str | None, float]] = [(network, spec.sha256, spec.score)]
        for name in cascades:
            both = ModelStore() if name not in store.expression_models else store
            contenders.append((stack.enter_context(Cascade(both, name)), None, SCORE))
        for contender, sha256, score in contenders:
            with report.step(contender.name) as progress:
                searched = search_all(contender, pictures, count, progress)
            results.append(detector_result(contender.name, sha256, searched, score))
    assert searched is not None
    faces, unlabelled = count_faces(searched)
    return DetectionEvaluation(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions={name: version(name) for name in _PACKAGES},
        machine=machine(),
        dataset=pictures.name,
        pictures=len(searched.truths),
        faces=faces,
        unlabelled=unlabelled,
        detectors=tuple(results),
    )
