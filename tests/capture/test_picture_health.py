"""Frozen, black and overexposed pictures, by a clock of the test's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edge_fer.capture.picture_health import PictureHealth
from edge_fer.settings import CaptureSettings

SECOND = 1_000_000_000


def noise(seed, low=0, high=256, size=(90, 120)):
    return np.random.default_rng(seed).integers(low, high, (*size, 3)).astype(np.uint8)


def checker(**more):
    return PictureHealth(CaptureSettings(**more))


def test_the_same_picture_for_long_enough_is_frozen():
    health, picture = checker(frozen_s=3), noise(1)
    frozen = []
    for second in range(5):
        health.update(picture, second * SECOND)
        frozen.append(health.frozen)
    assert frozen == [False, False, False, True, True]
    health.update(noise(2), 5 * SECOND)
    assert not health.frozen
    assert health.changing


def test_a_picture_that_changes_now_and_then_is_not_frozen():
    health = checker(frozen_s=3)
    for second in range(20):
        health.update(noise(second // 3), second * SECOND)
        assert not health.frozen
        assert health.changing == (second > 0 and second % 3 == 0)


def test_never_means_never():
    health = checker(frozen_s=None, blind_s=None)
    for picture in (noise(1), noise(2, 0, 10)):
        for second in range(0, 7200, 600):
            health.update(picture, second * SECOND)
            assert not health.frozen
            assert health.blind is None


@pytest.mark.parametrize("picture", [noise(1, 0, 16), np.full((90, 120, 3), 100, np.uint8), noise(1, 251, 256)])
def test_where_there_is_nothing_to_see_nothing_is_called_frozen(picture):
    health = checker(frozen_s=3)
    for second in range(10):
        health.update(picture, second * SECOND)
        assert not health.frozen
        assert health.changing


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 17, "black"), (250, 256, "white"), (0, 40, None)])
def test_black_and_white_are_told_once_they_last(low, high, expected):
    health = checker(blind_s=2)
    frozen = []
    for second in range(8):
        health.update(noise(second, low, high) if second < 5 else noise(second), second * SECOND)
        frozen.append(health.blind)
    assert frozen == [None, None, expected, expected, expected, expected, expected, None]


def test_a_lamp_in_the_dark_is_something_to_see():
    health = checker(blind_s=2)
    for second in range(5):
        picture = noise(second, 0, 10)
        picture[:20, :20] = 200
        health.update(picture, second * SECOND)
    assert health.blind is None


def test_a_saturated_colour_is_neither_black_nor_white():
    health = checker(blind_s=0.1)
    for second in range(3):
        health.update(np.full((90, 120, 3), (0, 0, 255), np.uint8), second * SECOND)
    assert health.blind is None


@examples(deadline=None, max_examples=30)
@given(st.integers(1, 700), st.integers(1, 700))
def test_pictures_of_every_size_are_judged(height, width):
    health = checker(frozen_s=1)
    picture = noise(1, size=(height, width))
    for second in range(2):
        health.update(picture, second * SECOND)
    assert health.frozen or int(picture.max()) == int(picture.min())


def test_another_size_is_another_picture():
    health = checker(frozen_s=1)
    for second, size in enumerate([(90, 120), (90, 120), (240, 320)]):
        health.update(noise(1, size=size), second * SECOND)
    assert not health.frozen
