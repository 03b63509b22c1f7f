"""What counts as the same reading on two processors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_fer.publish.jsonl import JsonLines
from edge_fer.types import LABELS, Box, FaceReading, Label, Point
from tests.conftest import make_face_reading, make_reading, make_status
from tests.same_readings import Comparison, compare, readings_of

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
    assert "1 frames, 1 faces; largest difference of a box 0.0 px" in str(found)


@pytest.mark.parametrize(("x", "beyond"), [(0.5, 0), (-1.5, 1)])
def test_boxes_may_differ_by_a_pixel(x: float, beyond: int) -> None:
    found = against(moved(x))
    assert found.box == pytest.approx(abs(x))
    assert len(found.beyond) == beyond


def test_landmarks_may_not_differ_by_more() -> None:
    found = against(replace(FACE, landmarks=replace(FACE.landmarks, nose=Point(0.0, 0.0))))
    assert found.beyond == [f"frame 1, face 7: landmarks differ by {found.landmark:.1f} px"]


@pytest.mark.parametrize(("happiness", "beyond"), [(0.52, 0), (0.6, 1)])
def test_labels_may_differ_where_two_expressions_are_as_probable(happiness: float, beyond: int) -> None:
    found = compare(lines(torn(happiness, "happiness")), lines(torn(happiness - 0.03, "surprise")))
    assert (found.labels, len(found.beyond)) == (1, beyond)
    assert found.probability == pytest.approx(0.03)


def test_probabilities_may_not_differ_by_much() -> None:
    found = compare(lines(torn(0.9, "happiness")), lines(torn(0.7, "happiness")))
    assert found.beyond == ["frame 1, face 7: probabilities differ by 0.200"]


def test_a_face_that_is_not_read_differs_from_one_that_is() -> None:
    assert "probabilities differ by inf" in against(replace(FACE, probabilities={})).beyond[0]


def test_other_faces_are_not_compared() -> None:
    assert against(replace(FACE, id=8)).beyond == ["frame 1: expected the faces [7], found [8]"]
    assert against().beyond == ["frame 1: expected the faces [7], found []"]


def test_no_readings_prove_nothing() -> None:
    assert len(compare([], []).beyond) == 1
    assert len(compare(lines(FACE), []).beyond) == 1
