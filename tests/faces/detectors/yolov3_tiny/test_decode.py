"""What the maps of YOLOv3-tiny mean, and which boxes are left of many."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_fer.faces.boxes import corners_of, overlap, suppress_greedily
from edge_fer.faces.detectors.yolov3_tiny.decode import Detections, decode, find_best
from edge_fer.inference.manifest_detect import Anchor
from edge_fer.types import Box

SIZE = 64
ANCHORS: tuple[Anchor, ...] = ((4, 5), (8, 8), (12, 16), (20, 20), (30, 40), (60, 50))
LABELS = 7
FAR = -40.0  # a logit whose sigmoid is 0


def empty_maps() -> list[NDArray[np.float32]]:
    maps = [np.zeros((1, SIZE // stride, SIZE // stride, 3, 5 + LABELS), np.float32) for stride in (16, 32)]
    for one in maps:
        one[..., 4] = FAR
    return maps


def flat(maps: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    return [one.reshape(*one.shape[:3], -1) for one in maps]


def logit(part: float) -> float:
    return math.log(part / (1 - part))


def encode(box: Box, grid: int, anchor: int, objectness: float, logits: list[float]) -> list[NDArray[np.float32]]:
    """Maps in which one anchor of one grid gives this box."""
    maps = empty_maps()
    cells = maps[grid].shape[1]
    x, y = ((box.x + box.width / 2) / SIZE * cells, (box.y + box.height / 2) / SIZE * cells)
    width, height = ANCHORS[grid * 3 + anchor]
    maps[grid][0, int(y), int(x), anchor] = [
        logit(x % 1), logit(y % 1), math.log(box.width / width), math.log(box.height / height), logit(objectness),
        *logits,
    ]  # fmt: skip
    return flat(maps)


parts = st.floats(0.01, 0.99)
sides = st.floats(1.0, 200.0)


@given(
    place=st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)),
    inside=st.tuples(parts, parts),
    sides=st.tuples(sides, sides),
    objectness=st.floats(0.05, 0.95),
    logits=st.lists(st.floats(-20, 20), min_size=LABELS, max_size=LABELS),
)
def test_what_was_encoded_is_decoded(
    place: tuple[int, int, int, int],
    inside: tuple[float, float],
    sides: tuple[float, float],
    objectness: float,
    logits: list[float],
) -> None:
    grid, row, column, anchor = place
    cells = SIZE // (16, 32)[grid]
    x, y = (column % cells + inside[0]) / cells * SIZE, (row % cells + inside[1]) / cells * SIZE
    box = Box(x - sides[0] / 2, y - sides[1] / 2, *sides)
    found = decode(encode(box, grid, anchor, objectness, logits), ANCHORS, SIZE, 0.01)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes, corners_of([box]), atol=0.01)
    assert found.objectness[0] == pytest.approx(objectness, abs=1e-4)
    np.testing.assert_allclose(found.logits[0], logits, atol=1e-4)
    expected = objectness / (1 + np.exp(-np.array(logits)))
    np.testing.assert_allclose(found.class_scores[0], expected, atol=1e-4)


def test_an_objectness_that_is_no_higher_gives_no_box() -> None:
    maps = encode(Box(10, 10, 20, 20), 0, 1, 0.5, [0.0] * LABELS)
    assert len(decode(maps, ANCHORS, SIZE, 0.49)) == 1
    assert len(decode(maps, ANCHORS, SIZE, 0.51)) == 0


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1e4))
@examples(max_examples=30)
def test_any_numbers_give_finite_boxes_best_first_and_not_too_many(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    maps = [rng.normal(0, spread, (1, side, side, 36)).astype(np.float32) for side in (26, 13)]
    found = decode(maps, ANCHORS, 416, 0.3)
    assert 0 < len(found) <= 512
    assert np.isfinite(found.boxes).all()
    assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()
    assert (np.diff(found.objectness) <= 0).all()
    assert found.objectness.min() > 0.3


boxes = st.builds(Box, st.integers(0, 40), st.integers(0, 40), st.integers(0, 30), st.integers(0, 30))


@given(st.lists(st.tuples(boxes, st.integers(0, 5)), max_size=20), st.floats(0.05, 0.95))
def test_greedy_suppression_keeps_the_best_of_what_overlaps(ranked: list[tuple[Box, int]], threshold: float) -> None:
    corners = corners_of([box for box, _ in ranked])
    scores = np.array([score for _, score in ranked], np.float32)
    kept = suppress_greedily(corners, scores, threshold)
    overlaps = overlap(corners, corners)
    assert (np.diff(scores[kept]) <= 0).all()
    assert all(overlaps[one, other] <= threshold for one in kept for other in kept if one != other)
    for one in set(range(len(ranked))) - set(kept.tolist()):  # each that is gone yields to a better one that stays
        assert any(overlaps[one, other] > threshold and scores[other] >= scores[one] for other in kept)


def test_a_box_that_is_removed_removes_no_others() -> None:
    corners = corners_of([Box(0, 0, 10, 10), Box(5, 0, 10, 10), Box(10, 0, 10, 10)])
    assert suppress_greedily(corners, np.array([0.9, 0.8, 0.7], np.float32), 0.3).tolist() == [0, 2]


def test_the_best_boxes_go_with_their_labels() -> None:
    corners = corners_of([Box(0, 0, 10, 10), Box(1, 0, 10, 10), Box(30, 0, 10, 10)])
    found = Detections(corners, np.array([0.6, 0.9, 0.7], np.float32), np.arange(3, dtype=np.float32)[:, None])
    assert find_best(found, 0.5).logits.ravel().tolist() == [1, 2]
    assert find_best(found, 0.5, most=1).logits.ravel().tolist() == [1]
