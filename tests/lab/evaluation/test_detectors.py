"""Detectors under measurement."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.datasets.detection.pictures import UNLABELLED, LabelledPicture, labelled_picture
from edge_fer.lab.evaluation.detection_record import (
    DetectionEvaluation,
    count_faces,
    detection_markdown,
    detector_result,
)
from edge_fer.lab.evaluation.detectors import Cascade, search_all
from edge_fer.lab.evaluation.metrics_detection import Found
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import LABELS, Image


class _Pictures:
    """Three pictures: a small and a large face, one without label, and none."""

    name = "three pictures"
    _FACES = (
        ([(10.0, 10.0, 30.0, 30.0), (60.0, 20.0, 130.0, 120.0)], [3, 0]),
        ([(5.0, 5.0, 60.0, 60.0)], [UNLABELLED]),
        ([], []),
    )

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int, /) -> LabelledPicture:
        boxes, labels = self._FACES[index]
        image = np.full((160, 160, 3), index, np.uint8)
        return labelled_picture(image, list(boxes), list(labels))


class _Perfect:
    """Finds everything, and is sure of the right label."""

    name = "perfect"

    def find(self, image: Image) -> Found:
        truth = _Pictures()[int(image[0, 0, 0])]
        return Found(truth.boxes, np.full(len(truth.boxes), 0.9), 0.9 * truth.targets)


def test_what_finds_everything_has_full_marks() -> None:
    searched = search_all(_Perfect(), _Pictures(), 10, clock=itertools.count(step=2).__next__)
    result = detector_result("perfect", None, searched, 0.5)
    assert (result.mean, result.faces, result.faces_from_32, result.recall, result.false_faces) == (1, 1, 1, 1, 0)
    assert result.labels == {label: (1 if label in ("happiness", "anger") else None) for label in LABELS}
    assert result.by_size == {"0": 1, "32": None, "64": 1, "128": None}, "the face of 55 pixels has no label"
    assert result.milliseconds == 2000
    assert count_faces(searched) == (3, 1)


def test_the_record_becomes_a_table_and_comes_back() -> None:
    result = detector_result("perfect", "0" * 64, search_all(_Perfect(), _Pictures(), 2), 0.5)
    evaluation = DetectionEvaluation(
        date="2026-11-30T00:00:00+00:00",
        versions={"edge-fer": "0"},
        machine={"cpu": "any"},
        dataset=_Pictures.name,
        pictures=2,
        faces=3,
        unlabelled=1,
        detectors=(result, result.model_copy(update={"name": "other"})),
    )
    text = detection_markdown(evaluation)
    assert "three pictures" in text
    assert "| mean over the expressions (mAP) | 100.0 % | 100.0 % |" in text or "100" in text
    assert DetectionEvaluation.model_validate_json(evaluation.model_dump_json(by_alias=True)) == evaluation


@pytest.mark.slow
def test_mtcnn_and_a_classifier_find_portraits() -> None:
    scene = crowd_scene(seed=3, faces=2, frames=1)
    boxes = [
        (face.box.x, face.box.y, face.box.x + face.box.width, face.box.y + face.box.height)
        for face in scene.truth(0)
        if face.visible
    ]

    class Crowd:
        name = "crowd"

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int, /) -> LabelledPicture:
            return labelled_picture(scene.render(0), boxes, [LABELS.index("happiness")] * len(boxes))

    with Cascade(ModelStore(), "lite") as cascade:
        searched = search_all(cascade, Crowd(), 1)
    (found,) = searched.found
    assert detector_result("mtcnn + lite", None, searched, 0.8).recall == 1
    assert found.labels.sum(axis=1) == pytest.approx(found.faces, abs=1e-3)
