from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_fer.faces.enhance import Enhancer, brightness
from edge_fer.settings import EnhanceSettings


def dim_picture(width: int = 640, height: int = 360) -> np.ndarray:
    """A dark, flat scene with a little structure, reddish."""
    x = np.linspace(0, 6 * np.pi, width)[None, :]
    y = np.linspace(0, 4 * np.pi, height)[:, None]
    grey = 25 + 6 * np.sin(x) * np.cos(y)
    return np.stack([grey * 0.8, grey, grey * 1.4], axis=2).astype(np.uint8)


def contrast(image: np.ndarray) -> float:
    return float(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).std())


def test_off_hands_the_picture_through() -> None:
    picture = dim_picture()
    assert Enhancer(EnhanceSettings(clahe="off")).enhance(picture) is picture


@pytest.mark.parametrize(("width", "height"), [(640, 360), (320, 240), (1920, 1080), (33, 17)])
def test_dark_pictures_gain_contrast(width: int, height: int) -> None:
    picture = dim_picture(width, height)
    before = picture.copy()
    picture.setflags(write=False)
    enhanced = Enhancer(EnhanceSettings(clahe="on")).enhance(picture)
    assert enhanced.shape == picture.shape
    assert enhanced.dtype == np.uint8
    assert contrast(enhanced) > 1.5 * contrast(before)
    assert (picture == before).all()


def test_a_large_picture_in_strips_is_what_it_would_be_in_one() -> None:
    picture = dim_picture(1000, 700)
    at_once = Enhancer(EnhanceSettings(clahe="on")).enhance(picture)
    in_strips = Enhancer(EnhanceSettings(clahe="on"), pixels_at_once=1000 * 33).enhance(picture)
    different = at_once.astype(int) - in_strips
    assert np.abs(different).max() <= 1
    assert np.count_nonzero(different) < 1e-4 * different.size


def test_colours_keep_their_hue() -> None:
    picture = dim_picture()
    enhanced = Enhancer(EnhanceSettings(clahe="on")).enhance(picture)
    before, after = (image.reshape(-1, 3).mean(axis=0) for image in (picture, enhanced))
    np.testing.assert_allclose(after / after.sum(), before / before.sum(), atol=0.02)


def test_black_and_white_stay_what_they_are() -> None:
    enhancer = Enhancer(EnhanceSettings(clahe="on"))
    white = np.full((90, 160, 3), 255, np.uint8)
    assert enhancer.enhance(white).min() > 250


def lit(level: int) -> np.ndarray:
    """A scene whose brightest tenth is at some level."""
    picture = dim_picture()
    return np.clip(picture.astype(float) * level / brightness(picture), 0, 255).astype(np.uint8)


def test_auto_enhances_what_is_dark_and_does_not_flicker() -> None:
    enhancer = Enhancer(EnhanceSettings(clahe="auto", dark=80, bright=100))
    active = []
    for level in (120, 90, 85, 70, 90, 95, 110, 90):
        picture = lit(level)
        enhanced = enhancer.enhance(picture)
        assert (enhanced is picture) == (not enhancer.active)
        active.append(enhancer.active)
    assert active == [False, False, False, True, True, True, False, False]


def test_a_dark_picture_is_lit() -> None:
    picture = lit(30)
    enhanced = Enhancer(EnhanceSettings(clahe="on")).enhance(picture)
    assert brightness(enhanced) > 100


def test_nothing_is_made_of_black() -> None:
    black = np.zeros((90, 160, 3), np.uint8)
    assert Enhancer(EnhanceSettings(clahe="auto")).enhance(black).max() <= 60


@pytest.mark.parametrize(("word", "expected"), [(True, "on"), (False, "off"), ("auto", "auto")])
def test_yaml_s_on_and_off_are_words(word: object, expected: str) -> None:
    assert EnhanceSettings(clahe=word).clahe == expected


def test_dark_is_darker_than_bright() -> None:
    with pytest.raises(ValueError, match="contrast would flicker"):
        EnhanceSettings(dark=90, bright=80)
