"""What counts as the same reading on two processors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_fer.publish.jsonl import JsonLines
from edge_fer.schema import FaceReading
from edge_fer.types import LABELS, Box, Label, Point
from tests.support.records import make_face_reading, make_reading, make_status
from tools.same_readings import Comparison, compare, readings_of

FACE = make_face_reading()


def lines(*faces: FaceReading) -> list[dict[str, Any]]:
    """As `edge-fer run` prints them."""
    printed: list[str] = []
    sink = JsonLines(printed.append)
    sink.publish(make_status(), None)
    sink.publish(make_reading(faces=faces), None)
    return readings_of("".join(printed))


def against(*faces: FaceReading) -> Comparison:
    return compare(lines(FACE), lines(*faces))


def moved(x: float) -> FaceReading:
    return replace(FACE, box=Box(FACE.box.x + x, FACE.box.y, FACE.box.width, FACE.box.height))


def torn(happiness: float, label: Label) -> FaceReading:
    """A face between happiness and surprise."""
    probabilities = dict.fromkeys(LABELS, 0.0) | {"happiness": happiness, "surprise": 1.0 - happiness}
    return replace(FACE, label=label, probabilities=probabilities)


def test_a_run_is_the_same_as_itself() -> None:
    found = against(FACE)
    assert (found.frames, found.faces, found.labels, found.beyond) == (1, 1, 0, [])
    assert "1 frames, 1 faces; least overlap of a box 1.000" in str(found)


@pytest.mark.parametrize(("x", "beyond"), [(5.0, 0), (-10.0, 1)])
def test_boxes_must_overlap(x: float, beyond: int) -> None:
    """The face is 80 pixels wide."""
    found = against(moved(x))
    assert found.overlap == pytest.approx((80 - abs(x)) / (80 + abs(x)), abs=1e-3)
    assert found.box == pytest.approx(abs(x))
    assert len(found.beyond) == beyond


@pytest.mark.parametrize(("x", "beyond"), [(7.0, 0), (9.0, 1)])
def test_landmarks_may_differ_by_a_tenth_of_the_width(x: float, beyond: int) -> None:
    nose = FACE.landmarks.nose
    found = against(replace(FACE, landmarks=replace(FACE.landmarks, nose=Point(nose.x + x, nose.y))))
    assert found.landmark == pytest.approx(x / 80, abs=1e-3)
    assert len(found.beyond) == beyond


@pytest.mark.parametrize(("happiness", "beyond"), [(0.55, 0), (0.65, 1)])
def test_labels_may_differ_where_two_expressions_are_about_as_probable(happiness: float, beyond: int) -> None:
    found = compare(lines(torn(happiness, "happiness")), lines(torn(happiness - 0.1, "surprise")))
    assert (found.labels, len(found.beyond)) == (1, beyond)
    assert found.probability == pytest.approx(0.1)


def test_a_face_that_is_not_read_differs_from_one_that_is() -> None:
    unread = replace(FACE, probabilities={}, label=None)
    assert "expected None, found happiness" in compare(lines(unread), lines(FACE)).beyond[0]
    assert against(unread).probability == float("inf")


def test_a_face_may_have_another_id_as_long_as_it_keeps_it() -> None:
    twice = lines(FACE) * 2
    other, third = lines(replace(FACE, id=8)), lines(replace(FACE, id=9))
    assert compare(twice, other * 2).beyond == []
    assert compare(twice, other + third).beyond == ["frame 1, face 7: expected to be 8 as before, found 9"]


def test_every_face_must_be_there() -> None:
    assert against().beyond == ["frame 1: expected 1 faces, found 0"]


def test_no_readings_prove_nothing() -> None:
    assert len(compare([], []).beyond) == 1
    assert len(compare(lines(FACE), []).beyond) == 1
