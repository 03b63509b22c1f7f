"""Smaller copies: their size, what they show, and that nothing is enlarged."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.faces.resize import fit


def soft_picture(width: int, height: int) -> np.ndarray:
    """Something without fine detail, which any fair way of shrinking keeps."""
    small = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@given(st.integers(1, 2500), st.integers(1, 2500), st.sampled_from((16, 600)))
def test_the_long_side_fits_and_the_shape_stays(width: int, height: int, size: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    small = fit(picture, size)
    if max(width, height) <= size:
        assert small is picture
    else:
        assert max(small.shape[:2]) == size
        assert small.shape[0] == pytest.approx(max(height * size / max(width, height), 1), abs=0.5)
        assert small.shape[1] == pytest.approx(max(width * size / max(width, height), 1), abs=0.5)


@pytest.mark.parametrize(("width", "height"), [(640, 360), (1280, 720), (1283, 721), (1920, 1080), (720, 1280)])
def test_it_shows_what_area_averaging_shows(width: int, height: int) -> None:
    picture = soft_picture(width, height)
    small = fit(picture, 600)
    averaged = cv2.resize(picture, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - averaged).mean() < 1


def test_a_fine_pattern_becomes_grey_and_no_coarser_pattern() -> None:
    picture = np.zeros((1800, 1800, 3), np.uint8)
    picture[::2] = 255
    assert np.abs(fit(picture, 600).astype(int) - 127).max() <= 45
