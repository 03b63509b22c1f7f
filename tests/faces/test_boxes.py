from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_fer.faces.boxes import Boxes, area, clip, overlap, square, suppress


@st.composite
def boxes_of(draw: st.DrawFn, side: int = 40, most: int = 12) -> Boxes:
    """Boxes with whole corners in 0..side, some of them empty or turned inside out."""
    count = draw(st.integers(0, most))
    return draw(hnp.arrays(np.int64, (count, 4), elements=st.integers(0, side))).astype(np.float32)


def painted(box: np.ndarray) -> np.ndarray:
    """The box's pixels in a small picture: an area that nobody computed."""
    canvas = np.zeros((40, 40), dtype=bool)
    x1, y1, x2, y2 = box.astype(int)
    canvas[y1:y2, x1:x2] = True
    return canvas


@given(boxes_of(), boxes_of())
def test_overlap_is_the_share_of_common_pixels(boxes: Boxes, others: Boxes) -> None:
    union, smaller = overlap(boxes, others), overlap(boxes, others, over="smaller")
    assert union.shape == smaller.shape == (len(boxes), len(others))
    for i, box in enumerate(boxes):
        for j, other in enumerate(others):
            mine, its = painted(box), painted(other)
            common, least = (mine & its).sum(), min(mine.sum(), its.sum())
            assert union[i, j] == pytest.approx(common / max((mine | its).sum(), 1), abs=1e-6)
            assert smaller[i, j] == pytest.approx(common / max(least, 1), abs=1e-6)


@given(boxes_of())
def test_a_box_overlaps_itself_wholly_unless_it_is_empty(boxes: Boxes) -> None:
    np.testing.assert_array_equal(np.diag(overlap(boxes, boxes)), area(boxes) > 0)


@given(boxes_of(side=10, most=30), st.floats(0, 1), st.sampled_from(["union", "smaller"]), st.data())
def test_suppression_is_that_of_its_definition(boxes: Boxes, threshold: float, over: str, data: st.DataObject) -> None:
    grades = st.integers(0, 4)  # few, so that many are equal
    scores = np.array(data.draw(st.lists(grades, min_size=len(boxes), max_size=len(boxes))), np.float32)
    kept = suppress(boxes, scores, threshold, over)
    shares = overlap(boxes, boxes, over)
    ranking = sorted(range(len(boxes)), key=lambda index: (-scores[index], -index))
    expected = [
        index
        for rank, index in enumerate(ranking)
        if not any(shares[index, better] > np.float32(threshold) for better in ranking[:rank])
    ]
    assert kept.tolist() == expected


def test_suppression_reaches_across_blocks() -> None:
    """More boxes than are compared at a time: 700 places, each taken twice, far apart in rank."""
    places = np.arange(700, dtype=np.float32)[:, None] * 20
    once = np.hstack([places, places, places + 10, places + 10])
    boxes = np.vstack([once, once + 1])
    scores = np.linspace(1, 0, len(boxes), dtype=np.float32)
    assert suppress(boxes, scores, 0.5).tolist() == list(range(700))


def test_a_suppressed_box_still_suppresses() -> None:
    chain = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    assert suppress(chain, np.array([0.9, 0.8, 0.7], np.float32), 0.4).tolist() == [0]


@given(boxes_of(side=200), st.integers(1, 100), st.integers(1, 100))
def test_clipped_boxes_lie_on_the_picture(boxes: Boxes, width: int, height: int) -> None:
    moved = boxes - 50
    clipped = clip(moved, width, height)
    assert (clipped >= 0).all()
    assert (clipped[:, ::2] <= width - 1).all()
    assert (clipped[:, 1::2] <= height - 1).all()
    inside = (moved >= 0) & (moved <= np.array([width - 1, height - 1] * 2))
    np.testing.assert_array_equal(clipped[inside], moved[inside])
    np.testing.assert_array_equal(clip(clipped, width, height), clipped)


@given(boxes_of(side=500))
def test_squares_keep_the_centre_and_the_longer_side(boxes: Boxes) -> None:
    squared = square(boxes)
    sides = squared[:, 2:] - squared[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], atol=1e-3)
    np.testing.assert_allclose(sides.max(axis=1), (boxes[:, 2:] - boxes[:, :2]).max(axis=1), atol=1e-3)
    np.testing.assert_allclose(squared[:, :2] + squared[:, 2:], boxes[:, :2] + boxes[:, 2:], atol=1e-3)
