from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.errors import ModelError
from edge_fer.faces.detectors.mtcnn.decode import decode_faces, decode_proposals, decode_refined, merge_proposals
from edge_fer.faces.detectors.mtcnn.networks import (
    OutputNet,
    ProposalNet,
    RefineNet,
    crop,
    quantize,
    split,
    standardise,
)
from edge_fer.inference import TensorSpec
from edge_fer.inference.model_store import ModelStore


def sampled(pixels: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear between pixel centres, 0 outside: TensorFlow's documentation of `crop_and_resize`."""
    height, width = pixels.shape[:2]
    left, top = np.clip(x.astype(int), 0, width - 2), np.clip(y.astype(int), 0, height - 2)
    u, v = (x - left)[..., None], (y - top)[..., None]
    upper = pixels[top, left] * (1 - u) + pixels[top, left + 1] * u
    lower = pixels[top + 1, left] * (1 - u) + pixels[top + 1, left + 1] * u
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.where(inside[..., None], upper * (1 - v) + lower * v, 0)


@given(
    x=st.floats(-20, 50),
    y=st.floats(-20, 40),
    side=st.floats(3, 60),
    size=st.sampled_from([2, 5, 24]),
    seed=st.integers(0, 1000),
)
def test_crops_are_sampled_as_tensorflow_does(x: float, y: float, side: float, size: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).uniform(-1, 1, (30, 40, 3)).astype(np.float32)
    boxes = np.array([[0, 0, 39, 29], [x, y, x + side, y + side]], np.float32)
    crops = crop(pixels, boxes, size)
    assert crops.shape == (2, size, size, 3)
    assert crops.dtype == np.float32
    steps = np.arange(size) / (size - 1)
    for found, (x1, y1, x2, y2) in zip(crops, boxes.astype(float), strict=True):
        at_x, at_y = np.meshgrid((x1 + (x2 - x1) * steps) * 39 / 40, (y1 + (y2 - y1) * steps) * 29 / 30)
        # On the border rounding decides which side a sample is on.
        clear = (np.minimum(abs(at_x), abs(at_x - 39)) > 1e-3) & (np.minimum(abs(at_y), abs(at_y - 29)) > 1e-3)
        # OpenCV 4 rounds positions to 1/32 pixel; in noise that is up to 0.07.
        np.testing.assert_allclose(found[clear], sampled(pixels, at_x, at_y)[clear], atol=0.08)


@given(st.integers(0, 1000))
def test_batches_hold_all_crops_and_no_more(count: int) -> None:
    batches = list(split(count, (1, 2, 4, 8)))
    assert sum(batches) == count
    assert set(batches) <= {1, 2, 4, 8}
    assert len(batches) <= count // 8 + 3
    assert batches == sorted(batches, reverse=True)


def test_pictures_are_standardised_to_rgb() -> None:
    blue = np.zeros((2, 3, 3), np.uint8)
    blue[:, :, 0] = 255
    np.testing.assert_allclose(standardise(blue)[0, 0], [-127.5 / 128, -127.5 / 128, 127.5 / 128])


def test_proposals_lie_where_their_cells_look() -> None:
    """One cell of 20x30 says face, and moves its box's left side by a tenth."""
    scores, offsets = np.zeros((1, 20, 30, 2), np.float32), np.zeros((1, 20, 30, 4), np.float32)
    scores[0, 7, 11, 1] = 0.9
    offsets[0, 7, 11] = [0.1, 0, 0, 0]
    boxes, found = decode_proposals({2: scores, 4: offsets}, 0.5, 0.6)
    np.testing.assert_allclose(boxes, [[(22 + 1 + 1.1) / 0.5, (14 + 1) / 0.5, (22 + 12) / 0.5, (14 + 12) / 0.5]])
    np.testing.assert_allclose(found, [0.9])
    assert decode_proposals({2: scores, 4: offsets}, 0.5, 0.9)[0].shape == (0, 4)


def test_merging_levels_keeps_one_box_a_place() -> None:
    level = (np.array([[0, 0, 10, 10]], np.float32), np.array([0.8], np.float32))
    other = (np.array([[0, 0, 10, 11], [50, 50, 60, 60]], np.float32), np.array([0.9, 0.7], np.float32))
    np.testing.assert_array_equal(merge_proposals([level, other]), [[0, 0, 10, 11], [50, 50, 60, 60]])
    assert merge_proposals([]).shape == (0, 4)


def test_refined_boxes_move_by_fractions_of_their_sides() -> None:
    boxes = np.array([[0, 0, 9, 9], [100, 100, 119, 119], [200, 200, 209, 209]], np.float32)
    scores = np.array([[0.1, 0.9], [0.05, 0.95], [0.9, 0.1]], np.float32)
    offsets = np.array([[0.1, 0, 0, 0], [0, 0, 0, -0.5], [0, 0, 0, 0]], np.float32)
    refined = decode_refined({2: scores, 4: offsets}, boxes, 0.7)
    np.testing.assert_allclose(refined, [[100, 100, 119, 109], [1, 0, 9, 9]])


def test_landmarks_are_relative_to_the_box_that_was_seen() -> None:
    boxes = np.array([[10, 20, 109, 219]], np.float32)
    relative = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]], np.float32)
    outputs = {2: np.array([[0.0, 1.0]], np.float32), 4: np.full((1, 4), 0.5, np.float32), 10: relative}
    found, scores, landmarks = decode_faces(outputs, boxes, 0.8)
    np.testing.assert_allclose(found, [[60, 120, 159, 319]])
    np.testing.assert_allclose(scores, [1])
    np.testing.assert_allclose(landmarks, [[[19, 139], [29, 159], [39, 179], [49, 199], [59, 219]]], atol=1e-4)


def test_no_boxes_in_no_faces_out() -> None:
    store = ModelStore()
    pixels, none = np.zeros((50, 50, 3), np.float32), np.empty((0, 4), np.float32)
    refine = RefineNet(store.load("mtcnn_rnet", "refine"), threads=1, threshold=0.7)
    assert refine.refine(pixels, none).shape == (0, 4)
    refine.close()
    output = OutputNet(store.load("mtcnn_onet", "output"), threads=1, threshold=0.8)
    boxes, scores, landmarks = output.locate(pixels, none)
    assert (boxes.shape, scores.shape, landmarks.shape) == ((0, 4), (0,), (0, 5, 2))
    output.close()


def test_a_batch_changes_no_answer() -> None:
    """Seventy crops go as 32, 32, 4 and 2; each must be answered as if it went alone."""
    refine = RefineNet(ModelStore().load("mtcnn_rnet", "refine"), threads=1, threshold=-1)
    pixels = np.random.default_rng(3).uniform(-1, 1, (120, 1500, 3)).astype(np.float32)
    left = np.arange(70, dtype=np.float32)[:, None] * 20
    boxes = np.hstack([left, np.full_like(left, 50), left + 15, np.full_like(left, 65)])
    together = refine.refine(pixels, boxes)
    alone = np.vstack([refine.refine(pixels, boxes[i : i + 1]) for i in range(70)])
    refine.close()
    assert len(together) == 70
    np.testing.assert_allclose(together[np.argsort(together[:, 0])], alone[np.argsort(alone[:, 0])], atol=1e-4)


def test_crops_are_as_many_as_there_are_boxes() -> None:
    """A crowded picture has more crops than OpenCV's pictures may have rows, were they stacked."""
    pixels = np.random.default_rng(0).uniform(-1, 1, (20, 20, 3)).astype(np.float32)
    boxes = np.array([[1, 1, 9, 9], [3, 2, 14, 13]], np.float32)
    few = crop(pixels, boxes, 24)
    many = crop(pixels, np.tile(boxes, (1000, 1)), 24)
    assert many.shape == (2000, 24, 24, 3)
    np.testing.assert_array_equal(many[-2:], few)
    assert crop(pixels, boxes[:0], 24).shape == (0, 24, 24, 3)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=20), st.integers(-20, 20))
def test_quantized_values_are_the_nearest_steps(values: list[float], zero_point: int) -> None:
    tensor = TensorSpec("image", (len(values),), np.dtype(np.int8), 1 / 128, zero_point)
    quantized = quantize(np.array(values, np.float32), tensor)
    assert quantized.dtype == np.int8
    low, high = (-128 - zero_point) / 128, (127 - zero_point) / 128
    real = (quantized.astype(float) - zero_point) / 128
    np.testing.assert_allclose(real, np.clip(values, low, high), atol=0.5 / 128 + 1e-6)


def test_a_float_input_is_taken_as_it_is() -> None:
    values = np.array([0.25, 3], np.float32)
    assert quantize(values, TensorSpec("image", (2,), np.dtype(np.float32))) is values


def test_a_network_of_another_stage_is_refused() -> None:
    onet = ModelStore().load("mtcnn_onet", "output")
    with pytest.raises(ModelError, match=r"outputs have \[2, 4\] values, found \[2, 4, 10\]"):
        RefineNet(onet, threads=1, threshold=0.7)
    with pytest.raises(ModelError, match="expected a network that runs on the CPU"):
        ProposalNet(b"no network", 1, 0.6, 20, 0.709)
