"""Average precision on hand-made cases whose results are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_fer.lab.datasets.detection.pictures import UNLABELLED
from edge_fer.lab.evaluation.metrics_detection import (
    Found,
    Truth,
    face_precision,
    recall_and_false_faces,
    score_detections,
)
from edge_fer.types import LABELS

FACE, OTHER, NOWHERE = (10.0, 10.0, 50.0, 50.0), (60.0, 60.0, 100.0, 100.0), (200.0, 200.0, 240.0, 240.0)


def _truth(*faces: tuple[tuple[float, ...], int]) -> Truth:
    boxes = np.array([box for box, _ in faces], np.float32).reshape(-1, 4)
    return Truth(boxes, np.array([label for _, label in faces], np.int64))


def _found(*boxes: tuple[tuple[float, ...], float, int]) -> Found:
    labels = np.zeros((len(boxes), len(LABELS)))
    for row, (_, score, label) in zip(labels, boxes, strict=True):
        row[label] = score
    corners = np.array([box for box, _, _ in boxes], np.float32).reshape(-1, 4)
    return Found(corners, np.array([score for _, score, _ in boxes]), labels)


def test_all_found_and_nothing_else_is_one() -> None:
    truth, found = _truth((FACE, 3), (OTHER, 0)), _found((FACE, 0.9, 3), (OTHER, 0.8, 0))
    score = score_detections([truth], [found])
    assert score.faces == score.labels[3] == score.labels[0] == score.mean == 1.0
    assert math.isnan(score.labels[1])


def test_precision_is_interpolated_at_all_points() -> None:
    # By score: right, wrong, right. Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: 1/2 * 1 + 1/2 * 2/3.
    truth = _truth((FACE, 0), (OTHER, 0))
    found = _found((FACE, 0.9, 0), (NOWHERE, 0.8, 0), (OTHER, 0.7, 0))
    assert face_precision([truth], [found]) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_scores_order_boxes_over_all_pictures() -> None:
    # Picture by picture both would be perfect but for the wrong box, which has the highest score of all.
    truths = [_truth((FACE, 0)), _truth((FACE, 0))]
    found = [_found((FACE, 0.5, 0)), _found((FACE, 0.6, 0), (NOWHERE, 0.9, 0))]
    assert face_precision(truths, found) == pytest.approx(2 / 3)


def test_a_second_box_on_a_face_is_wrong() -> None:
    found = _found((FACE, 0.9, 0), (FACE, 0.8, 0), (OTHER, 0.7, 0))
    assert face_precision([_truth((FACE, 0), (OTHER, 0))], [found]) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_an_overlap_of_half_is_enough_and_less_is_not() -> None:
    half, less = (10.0, 10.0, 50.0, 30.0), (10.0, 10.0, 50.0, 29.0)
    assert face_precision([_truth((FACE, 0))], [_found((half, 0.9, 0))]) == 1.0
    assert face_precision([_truth((FACE, 0))], [_found((less, 0.9, 0))]) == 0.0


def test_a_box_on_a_face_without_label_is_neither_right_nor_wrong() -> None:
    truth = _truth((FACE, 2), (OTHER, UNLABELLED))
    found = _found((OTHER, 0.95, 2), (FACE, 0.9, 2))
    score = score_detections([truth], [found])
    assert score.labels[2] == score.faces == 1.0
    assert recall_and_false_faces([truth], [found], 0.5) == (1.0, 0.0)


def test_the_right_face_with_the_wrong_label_is_wrong_for_that_label() -> None:
    score = score_detections([_truth((FACE, 1))], [_found((FACE, 0.9, 5))])
    assert score.faces == 1.0
    assert score.labels[1] == 0.0


def test_what_is_missed_costs_recall() -> None:
    assert face_precision([_truth((FACE, 0), (OTHER, 0))], [_found((FACE, 0.9, 0))]) == 0.5
    assert face_precision([_truth((FACE, 0))], [_found()]) == 0.0


def test_faces_of_other_sizes_are_left_out() -> None:
    small = (0.0, 0.0, 20.0, 20.0)
    truth, found = _truth((small, 0), (FACE, 0)), _found((FACE, 0.9, 0))
    score = score_detections([truth], [found])
    assert score.faces == 0.5
    assert (score.from_32, score.by_size[0], score.by_size[1]) == (1.0, 0.0, 1.0)
    assert math.isnan(score.by_size[3])


def test_nothing_to_find_has_no_score() -> None:
    assert math.isnan(score_detections([_truth()], [_found((FACE, 0.9, 0))]).mean)


def test_recall_and_false_faces_at_a_score() -> None:
    truths = [_truth((FACE, 0), (OTHER, 0)), _truth()]
    found = [_found((FACE, 0.9, 0), (OTHER, 0.4, 0)), _found((NOWHERE, 0.8, 0))]
    assert recall_and_false_faces(truths, found, 0.5) == (0.5, 0.5)
    assert recall_and_false_faces(truths, found, 0.3) == (1.0, 0.5)
