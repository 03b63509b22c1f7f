"""Expressions that the detector reads itself: which stand between two searches, and from when they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edge_fer.errors import BackendError
from edge_fer.expression.detected import DetectedExpressions
from edge_fer.expression.scheduler import ClassificationScheduler
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
def scheduler(model: SequenceModel) -> Iterator[ClassificationScheduler]:
    scheduler = ClassificationScheduler(model, Monitor(60).stage, threading.Event())
    yield scheduler
    scheduler.stop()


def seen(track: int, at_ms: int, label: Label | None, age_ms: int = 0) -> AlignedFace:
    """A face of a frame; one without a label was followed."""
    crop = crop_of(track, 90, at_ms)
    sure = tuple(float(each == label) for each in LABELS)
    expression = None if label is None else Expression(sure, DETECTOR, age_ns=age_ms * MS)
    face = replace(face_at(0, 0, 50), expression=expression)
    return replace(crop, track=replace(crop.track, face=face), frame=at_ms)


def labels(scheduler: ClassificationScheduler) -> dict[int, tuple[Label, int]]:
    scheduler.wait()
    return {key: (one.expression.label, one.captured_ns // MS) for key, one in scheduler.classifications().items()}


def test_a_label_stands_until_the_next_search_and_is_as_old_as_its_picture(scheduler: ClassificationScheduler) -> None:
    scheduler.offer([seen(1, 100, "fear"), seen(2, 100, None)])
    assert labels(scheduler) == {1: ("fear", 100)}
    scheduler.offer([seen(1, 140, None), seen(2, 140, None)])
    assert scheduler.done
    assert labels(scheduler) == {1: ("fear", 100)}
    scheduler.offer([seen(1, 180, "anger", age_ms=60), seen(2, 180, "sadness", age_ms=60)])
    assert labels(scheduler) == {1: ("anger", 120), 2: ("sadness", 120)}
    scheduler.keep(frozenset({2}))
    assert list(labels(scheduler)) == [2]


def test_a_face_that_was_followed_does_not_replace_one_that_is_still_to_be_taken_over(model: SequenceModel) -> None:
    started, go_on = threading.Event(), threading.Event()
    classify = model.classify

    def slow(face: AlignedFace) -> Expression:
        started.set()
        go_on.wait(5)
        return classify(face)

    model.classify = slow  # type: ignore[method-assign]
    scheduler = ClassificationScheduler(model, Monitor(60).stage, threading.Event())
    scheduler.offer([seen(1, 100, "fear"), seen(2, 100, "anger")])
    assert started.wait(5)  # one of the two waits for the other
    scheduler.offer([seen(1, 140, None), seen(2, 140, None)])
    go_on.set()
    assert labels(scheduler) == {1: ("fear", 100), 2: ("anger", 100)}
    scheduler.stop()


def test_it_says_what_gave_them_and_refuses_a_face_that_was_not_read(model: SequenceModel) -> None:
    assert model.origin == DETECTOR
    assert model.classify(seen(1, 0, "neutral")).origin == DETECTOR
    assert model.can_read(model.blank_face)
    assert len(set(model.classify(model.blank_face).probabilities)) == 1
    with pytest.raises(BackendError, match="found one that was followed"):
        model.classify(seen(1, 0, None))
    model.close()
