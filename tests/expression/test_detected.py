"""Expressions that the detector reads itself: which stand between two searches, and from when they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_fer.errors import BackendError
from edge_fer.expression.detected import DetectedExpressions, ImmediateScheduler
from edge_fer.expression.sequence import SequenceModel
from edge_fer.settings import AttendSettings, SmoothSettings
from edge_fer.status.monitor import Monitor
from edge_fer.types import LABELS, AlignedFace, Expression, Label, Origin
from tests.expression.test_scheduler import MS, crop_of
from tests.support.records import face_at

DETECTOR = Origin("yolov3_tiny", "edgetpu:usb:0")


@pytest.fixture
def model() -> SequenceModel:
    return SequenceModel(DetectedExpressions(lambda: DETECTOR), AttendSettings(), SmoothSettings())


@pytest.fixture
def scheduler(model: SequenceModel) -> ImmediateScheduler:
    return ImmediateScheduler(model, Monitor(60).stage)


def seen(track: int, at_ms: int, label: Label | None, age_ms: int = 0) -> AlignedFace:
    """A face of a frame; one without a label was followed."""
    crop = crop_of(track, 90, at_ms)
    sure = tuple(float(each == label) for each in LABELS)
    expression = None if label is None else Expression(sure, DETECTOR, age_ns=age_ms * MS)
    face = replace(face_at(0, 0, 50), expression=expression)
    return replace(crop, track=replace(crop.track, face=face), frame=at_ms)


def labels(scheduler: ImmediateScheduler) -> dict[int, tuple[Label, int]]:
    assert scheduler.done
    return {key: (one.expression.label, one.captured_ns // MS) for key, one in scheduler.classifications().items()}


def test_a_label_stands_until_the_next_search_and_is_as_old_as_its_picture(scheduler: ImmediateScheduler) -> None:
    scheduler.offer([seen(1, 100, "fear"), seen(2, 100, None)])
    assert labels(scheduler) == {1: ("fear", 100)}
    scheduler.offer([seen(1, 140, None), seen(2, 140, None)])
    assert labels(scheduler) == {1: ("fear", 100)}
    scheduler.offer([seen(1, 180, "anger", age_ms=60), seen(2, 180, "sadness", age_ms=60)])
    assert labels(scheduler) == {1: ("anger", 120), 2: ("sadness", 120)}
    scheduler.keep(frozenset({2}))
    assert list(labels(scheduler)) == [2]


def test_what_is_read_is_taken_over_at_once_and_each_face_is_timed(model: SequenceModel) -> None:
    monitor = Monitor(60)
    scheduler = ImmediateScheduler(model, monitor.stage)
    scheduler.offer([seen(1, 100, "fear"), seen(2, 100, "anger"), seen(3, 100, None)])
    assert labels(scheduler) == {1: ("fear", 100), 2: ("anger", 100)}, "without waiting"
    assert monitor.stage_times()["classify"].count == 2
    assert model.whole(1).label == "fear"
    scheduler.keep(frozenset())
    assert model.whole(1).label is None, "the model forgets it, too"


def test_it_says_what_gave_them_and_refuses_a_face_that_was_not_read(model: SequenceModel) -> None:
    assert model.origin == DETECTOR
    assert model.classify(seen(1, 0, "neutral")).origin == DETECTOR
    assert len(set(model.classify(model.blank_face).probabilities)) == 1
    with pytest.raises(BackendError, match="found one that was followed"):
        model.classify(seen(1, 0, None))
    model.close()
