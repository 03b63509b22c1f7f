from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fer.faces.detectors.mtcnn.pyramid import CELL, STRIDE, Canvas, Level, pack, pyramid_scales
from edge_fer.inference import open_backend
from edge_fer.inference.model_store import ModelStore

SIDES = st.integers(12, 1200)
MIN_FACES = st.integers(12, 300)
FACTORS = st.floats(0.31, 0.94)


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(12, 500), st.floats(0.31, 0.94))
def test_the_pyramid_ends_where_p_net_sees_nothing(width: int, height: int, min_face: int, factor: float) -> None:
    scales = pyramid_scales(width, height, min_face, factor)
    short = min(width, height)
    assert all(int(short * scale) >= 12 for scale in scales)
    assert int(short * 12 / min_face * factor ** len(scales)) <= 12
    assert scales == pytest.approx([12 / min_face * factor**level for level in range(len(scales))])


def test_the_pyramid_of_the_package_at_its_defaults() -> None:
    assert pyramid_scales(600, 600, 20, 0.709) == pytest.approx(0.6 * 0.709 ** np.arange(10))


def windows(level: Level) -> tuple[np.ndarray, np.ndarray]:
    """Top and left pixel, on the canvas, of the windows that are read for a level."""
    rows, columns = level.cells
    return np.arange(rows.start, rows.stop) * STRIDE, np.arange(columns.start, columns.stop) * STRIDE


@settings(deadline=None)
@given(SIDES, SIDES, MIN_FACES, FACTORS)
def test_every_level_has_a_place_of_its_own(width: int, height: int, min_face: int, factor: float) -> None:
    levels = pack(width, height, pyramid_scales(width, height, min_face, factor))
    canvas = max((level.right for level in levels), default=0)
    for level in levels:
        assert (level.width, level.height) == (int(width * level.scale), int(height * level.scale))
        assert level.x % STRIDE == level.y % STRIDE == 0
        assert level.x >= 0
        assert level.y >= 0
        assert level.x + level.width <= canvas == levels[0].right
    for one, other in combinations(levels, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y


@settings(deadline=None)
@given(SIDES, SIDES, MIN_FACES, FACTORS)
def test_no_window_that_is_read_sees_two_scales(width: int, height: int, min_face: int, factor: float) -> None:
    """Each lies wholly within its level, at the same even places as on the level alone, and none is left out."""
    for level in pack(width, height, pyramid_scales(width, height, min_face, factor)):
        tops, lefts = windows(level)
        for starts, origin, side in ((tops, level.y, level.height), (lefts, level.x, level.width)):
            np.testing.assert_array_equal(starts - origin, np.arange(0, side - CELL + 1, STRIDE))


@pytest.mark.parametrize("size", [(600, 600), (600, 338), (338, 600), (600, 450)])
@pytest.mark.parametrize("min_face", [20, 40, 60])
def test_little_of_the_canvas_is_empty(size: tuple[int, int], min_face: int) -> None:
    canvas = Canvas(*size, min_face, 0.709)
    used = sum(level.width * level.height for level in canvas.levels)
    assert canvas.pixels.shape[0] * canvas.pixels.shape[1] <= 1.15 * used


@settings(deadline=None, max_examples=30)
@given(st.integers(12, 200), st.integers(12, 200), st.integers(12, 60), FACTORS, st.integers(0, 1000))
def test_levels_are_area_averages(width: int, height: int, min_face: int, factor: float, seed: int) -> None:
    pixels = np.random.default_rng(seed).uniform(-1, 1, (height, width, 3)).astype(np.float32)
    canvas = Canvas(width, height, min_face, factor)
    canvas.fill(np.zeros_like(pixels) + 0.5)
    canvas.fill(pixels)
    covered = np.zeros(canvas.pixels.shape[:2], bool)
    for level in canvas.levels:
        averaged = cv2.resize(pixels, (level.width, level.height), interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(canvas.pixels[level.place], averaged, atol=2e-5)
        covered[level.place] = True
    assert (canvas.pixels[~covered] == 0).all()


@pytest.mark.parametrize("size", [(200, 150), (133, 181), (97, 64)])
def test_p_net_answers_on_the_canvas_as_on_each_level_alone(size: tuple[int, int]) -> None:
    model = ModelStore().load("mtcnn_pnet", "propose")
    pixels = np.random.default_rng(5).uniform(-1, 1, (size[1], size[0], 3)).astype(np.float32)
    canvas = Canvas(*size, 14, 0.709)
    canvas.fill(pixels)
    with open_backend("cpu", model, input_shape=(1, *canvas.pixels.shape)) as backend:
        together = backend.infer(canvas.pixels[None])
    assert len(canvas.levels) >= 4
    for level in canvas.levels:
        alone = np.ascontiguousarray(canvas.pixels[level.place])[None]
        with open_backend("cpu", model, input_shape=alone.shape) as backend:
            answers = backend.infer(alone)
        rows, columns = level.cells
        for ours, theirs in zip(together, answers, strict=True):
            part = ours[:, rows, columns]
            assert part.size
            np.testing.assert_allclose(part, theirs[:, : part.shape[1], : part.shape[2]], atol=1e-5)
            # On an odd side the level alone has one window more, which hangs over its edge.
            assert theirs.shape[1] - part.shape[1] == level.height % 2
            assert theirs.shape[2] - part.shape[2] == level.width % 2
