from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_fer.publish.drawing.annotate import COLOURS, annotate
from edge_fer.schema import FaceReading
from edge_fer.types import LABELS, Box, Image, Label, Point
from tests.support.records import face_at, make_face_reading, make_reading

PICTURE = np.full((360, 640, 3), 90, np.uint8)


def test_annotation_draws_without_touching_the_frame() -> None:
    frame = PICTURE.copy()
    frame.setflags(write=False)
    picture = annotate(frame, make_reading(faces=(make_face_reading(), make_face_reading(None, "too small"))))
    assert picture.shape == frame.shape
    assert (picture[50:130, 100] != 90).any(), "the box's left side"


def face_with(label: Label, x: float, y: float) -> FaceReading:
    """A face of 80 pixels whose only colour is that of its label."""
    return replace(
        make_face_reading(label), box=Box(x, y, 80.0, 80.0), landmarks=face_at(x, y, 80).landmarks, probabilities={}
    )


def painted(*faces: FaceReading, label: Label | None) -> int:
    """Pixels in the colour of a label, with these faces in the picture."""
    assert label is not None
    return int((annotate(PICTURE, make_reading(faces=faces)) == COLOURS[label]).all(axis=2).sum())


@pytest.mark.parametrize("corner", [(2, 2), (558, 2), (2, 278), (558, 278), (100, -30), (-30, 100)])
def test_a_face_at_the_edge_keeps_its_label_and_the_rate_is_seen(corner: tuple[float, float]) -> None:
    face = face_with("happiness", *corner)
    plate = painted(face_with("happiness", 300, 150), label="happiness") / 2
    assert painted(face, label="happiness") > plate
    without, picture = (annotate(PICTURE, make_reading(faces=faces)) for faces in ((), (face,)))
    hidden = (without[:14, :20] != picture[:14, :20]).any(axis=2).sum()
    assert hidden < 50, "the lines of the box, at most"


@pytest.mark.parametrize("aside", [(84, 0), (-84, 0), (0, 84), (60, 84), (84, 5), (-84, -5)])
def test_faces_side_by_side_keep_their_labels(aside: tuple[int, int]) -> None:
    happy, sad = face_with("happiness", 300, 150), face_with("sadness", 300 + aside[0], 150 + aside[1])
    for face in (happy, sad):
        assert painted(happy, sad, label=face.label) > 0.9 * painted(face, label=face.label)


EVEN = {label: (number + 1) / 28 for number, label in enumerate(LABELS)}
"""Probabilities of which none is like another."""


def chart_of(picture: Image, face: FaceReading) -> tuple[Image, int]:
    """The part of the drawing that a face's chart adds, and how many pixels of it differ."""
    with_chart, without = (
        annotate(picture, make_reading(faces=(one,))) for one in (face, replace(face, probabilities={}, smoothed=None))
    )
    rows, columns = np.nonzero((with_chart != without).any(axis=2))
    if not len(rows):
        return with_chart[:0], 0
    return with_chart[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], len(rows)


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (1080, 1920)])
def test_each_bar_has_its_colour_its_length_and_a_name_that_can_be_read(size: tuple[int, int]) -> None:
    face = replace(face_with("neutral", 200, 120), box=Box(200, 120, 150, 150), probabilities=EVEN)
    chart, _ = chart_of(np.full((*size, 3), 90, np.uint8), face)
    row, names = chart.shape[0] / len(LABELS), chart.shape[1]
    lengths = []
    for number, label in enumerate(LABELS):
        strip = chart[round(number * row) : round((number + 1) * row)]
        bar = (strip == COLOURS[label]).all(axis=2)
        lengths.append(int(bar.sum(axis=1).max()))
        names = min(names, int(np.nonzero(bar)[1].min()))
    letters = (chart[:, :names] > 100).all(axis=2)
    assert letters.any(axis=1).sum() >= 7 * len(LABELS), "pixels high"
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[3] < lengths[6]


def test_the_chart_shows_what_is_smoothed_where_there_is_smoothing() -> None:
    only = {label: float(label == "fear") for label in LABELS}
    face = replace(face_with("neutral", 200, 100), probabilities=EVEN, smoothed=only)
    chart, _ = chart_of(PICTURE, face)
    bars = {label: int((chart == COLOURS[label]).all(axis=2).sum()) for label in ("fear", "surprise")}
    assert bars["fear"] > 20 * bars["surprise"]


@pytest.mark.parametrize("corner", [(2, 2), (558, 2), (2, 278), (558, 278), (280, 278)])
def test_a_chart_at_the_edge_is_whole_and_hides_no_face(corner: tuple[float, float]) -> None:
    face = replace(face_with("neutral", *corner), probabilities=EVEN)
    chart, changed = chart_of(PICTURE, face)
    middle, middle_changed = chart_of(PICTURE, replace(face_with("neutral", 280, 120), probabilities=EVEN))
    assert chart.shape == middle.shape
    assert changed > 0.9 * middle_changed
    x, y = (max(round(value), 0) + 4 for value in corner)
    drawn = annotate(PICTURE, make_reading(faces=(face,)))[y + 12 : y + 72, x : x + 72]
    assert (drawn == 90).all(axis=2).mean() > 0.85, "the face"


def test_in_a_crowd_no_chart_hides_a_face() -> None:
    faces = tuple(
        replace(face_with("neutral", 8 + 90 * column, 20 + 90 * row), probabilities=EVEN)
        for row in range(4)
        for column in range(7)
    )
    drawn = annotate(PICTURE, make_reading(faces=faces))
    for face in faces:
        x, y = round(face.box.x), round(face.box.y)
        assert (drawn[y + 25 : y + 70, x + 4 : x + 76] == 90).all(axis=2).mean() > 0.6


@pytest.mark.parametrize("shape", [(1, 1), (20, 30), (64, 48)])
def test_a_tiny_picture_is_no_fault(shape: tuple[int, int]) -> None:
    face = replace(face_with("fear", 0, 0), box=Box(-3, -3, 12, 12), probabilities=EVEN)
    assert annotate(np.zeros((*shape, 3), np.uint8), make_reading(faces=(face,))).shape == (*shape, 3)


def test_the_region_that_was_read_is_drawn() -> None:
    face = face_with("sadness", 300, 150)
    region = (Point(320.0, 170.0), Point(360.0, 170.0), Point(360.0, 210.0), Point(320.0, 210.0))
    picture = annotate(PICTURE, make_reading(faces=(replace(face, region=region),)))
    changed = (picture != annotate(PICTURE, make_reading(faces=(face,)))).any(axis=2)
    assert changed[170, 322:358].mean() > 0.8
    assert changed[172:208, 360].mean() > 0.8
    assert not changed[175:205, 325:355].any()
