from __future__ import annotations

import numpy as np

from edge_fer.expression.face_reading import age_ms, classified_reading, pending_reading
from edge_fer.expression.scheduler import Classification
from edge_fer.schema import Pose
from edge_fer.types import LABELS, AlignedFace, Expression, Quality, Smoothed, Track
from tests.support.records import face_at

GOOD = Quality(eye_distance=30, blur=0.01, yaw=-12.345, pitch=3.21, roll=6.0)
FACE = AlignedFace(Track(7, face_at(10.123, 20.456, 50.05, score=0.98765)), np.zeros((8, 8), np.uint8), GOOD)
MS = 1_000_000


def test_an_unread_face_says_where_it_is_and_that_it_was_not_read() -> None:
    face = pending_reading(FACE)
    assert (face.id, tuple(face.box), face.score) == (7, (10.1, 20.5, 50.0, 50.0), 0.9877)
    assert (face.label, face.confidence, face.probabilities, face.label_age_ms) == (None, 0, {}, None)
    assert face.summary == "not read yet"
    assert face.pose == Pose(-12.3, 3.2, 6.0), "of this frame, label or none"


def test_a_label_is_as_old_as_the_picture_that_it_was_read_from() -> None:
    raw, mean = (0.0, 0.0, 0.0, 0.7, 0.0, 0.0, 0.3), (0.0, 0.0, 0.0, 0.60004, 0.0, 0.0, 0.39996)
    last = Classification(Expression(raw), captured_ns=100 * MS, scene_ns=0, quality=GOOD)
    face = classified_reading(FACE, last, Smoothed("happiness", 0.60004, mean, None), now_ns=150 * MS)
    assert (face.label, face.confidence, face.label_age_ms, face.why) == ("happiness", 0.6, 50.0, None)
    assert list(face.probabilities) == list(LABELS)
    assert face.probabilities["neutral"] == 0.3
    assert face.smoothed is not None
    assert face.smoothed["neutral"] == 0.4
    assert face.summary == "happiness 60%"


def test_without_smoothing_there_is_no_mean_and_a_withheld_label_says_why() -> None:
    last = Classification(Expression((1 / 7,) * 7), captured_ns=0, scene_ns=0, quality=GOOD)
    face = classified_reading(FACE, last, Smoothed(None, 1 / 7, None, "unsure"), now_ns=0)
    assert (face.label, face.smoothed, face.summary) == (None, None, "unsure")


def test_an_age_is_told_to_a_tenth_of_a_millisecond() -> None:
    assert age_ms(1_234_567, 1_000_000) == 0.2
