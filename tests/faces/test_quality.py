from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.faces.quality import edge_width, head_pose, measure_quality
from edge_fer.types import Box, Face, Image, Landmarks, Point
from tests.support.records import landmarks_at

SIZE = 224
HEAD = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.59, 0.57], [-0.39, 1.1, 0.07], [0.39, 1.1, 0.07]])


def steps(seed: int, contrast: float = 100.0) -> Image:
    """Sharp edges in every direction: grey discs on grey."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIZE, SIZE), 128, np.uint8)
    for _ in range(60):
        x, y = (int(value) for value in rng.integers(0, SIZE, 2))
        cv2.circle(picture, (x, y), int(rng.integers(8, 40)), 128 + contrast * rng.uniform(-1, 1), -1)
    return picture


def blurred(picture: Image, part: float) -> Image:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), part * SIZE), np.uint8)


def moved(picture: Image, part: float, angle: float) -> Image:
    """As a camera sees it that moves by a part of the side while the shutter is open."""
    reach = round(part * SIZE / 2)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    along = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))]) * reach
    ends = [(round(reach + sign * along[0]), round(reach + sign * along[1])) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.uint8)


def turned(yaw: float, pitch: float, roll: float = 0.0, size: float = 40.0) -> Landmarks:
    """An average head's landmarks, seen from far away; degrees."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    seen = HEAD @ (about_z @ about_x @ about_y).T * size + 200
    return Landmarks(*(Point(float(x), float(y)) for x, y, _ in seen))


def test_all_is_measured_at_once() -> None:
    face = Face(Box(0, 0, 100, 100), 0.99, landmarks_at(50, 40, 40, angle=30))
    quality = measure_quality(steps(0), face)
    assert quality.eye_distance == pytest.approx(40)
    assert quality.blur == edge_width(steps(0))
    assert (quality.yaw, quality.pitch) == head_pose(face.landmarks)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.04, 0.06])
def test_the_width_of_a_blurred_edge_is_that_of_the_blur(part: float) -> None:
    """What blurs the picture and what the measurement blurs add up as variances."""
    disc = np.full((SIZE, SIZE), 60, np.uint8)
    cv2.circle(disc, (112, 126), 60, 190, -1)
    expected = math.hypot(part, 1.5 / 64)
    assert edge_width(blurred(disc, part) if part else disc) == pytest.approx(expected, rel=0.1)


@given(st.integers(0, 30))
def test_more_blur_is_wider(seed: int) -> None:
    widths = [edge_width(steps(seed)), *(edge_width(blurred(steps(seed), part)) for part in (0.02, 0.04, 0.06))]
    assert widths == sorted(widths)


@given(st.integers(0, 30), st.floats(0.2, 1.0), st.sampled_from([0.0, 0.03]))
def test_contrast_does_not_count(seed: int, contrast: float, part: float) -> None:
    picture = blurred(steps(seed), part) if part else steps(seed)
    faded = ((picture.astype(np.float32) - 128) * contrast + 110).astype(np.uint8)
    assert edge_width(faded) == pytest.approx(edge_width(picture), rel=0.05)


def test_noise_does_not_pass_for_detail() -> None:
    rng = np.random.default_rng(5)
    soft = blurred(steps(2), 0.06)
    coarse = cv2.resize(rng.normal(0, 6, (64, 64)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(soft + coarse, 0, 255).astype(np.uint8)
    assert edge_width(noisy) > edge_width(steps(2))


def test_enlarging_a_crop_costs_nothing() -> None:
    small = cv2.resize(steps(3), (64, 64), interpolation=cv2.INTER_AREA)
    enlarged = [
        np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8) for side in (160, SIZE)
    ]
    for crop in enlarged:
        assert edge_width(crop) == pytest.approx(edge_width(np.asarray(small, np.uint8)), rel=0.05)


@pytest.mark.parametrize("angle", [0, 20, 45, 90, 135])
def test_motion_blurs_in_any_direction(angle: float) -> None:
    assert edge_width(moved(steps(4), 0.15, angle)) > 1.25 * edge_width(steps(4))


def test_a_crop_without_edges_has_a_width() -> None:
    assert edge_width(np.full((SIZE, SIZE), 90, np.uint8)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("roll", [-40, 0, 25])
@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (20, 0), (-50, 0), (0, 25), (0, -25), (30, 15), (-30, -15)])
def test_turns_are_measured_whatever_the_roll(yaw: float, pitch: float, roll: float) -> None:
    measured = head_pose(turned(yaw, pitch, roll))
    assert measured == pytest.approx((yaw, pitch), abs=6)


@given(st.floats(-70, 70), st.floats(5, 300))
def test_the_distance_does_not_count(yaw: float, size: float) -> None:
    assert head_pose(turned(yaw, 0, size=size)) == pytest.approx((yaw, 0), abs=0.1)


def test_yaw_points_to_where_the_nose_does() -> None:
    nose = turned(30, 0)
    assert nose.nose.x > (nose.left_eye.x + nose.right_eye.x) / 2
    assert head_pose(nose)[0] > 0


def test_landmarks_that_coincide_have_no_turn() -> None:
    assert head_pose(Landmarks(*[Point(3.0, 4.0)] * 5)) == (0, 0)


def test_a_crop_in_colour_is_measured_in_grey() -> None:
    points = landmarks_at(100, 100, 80)
    face = Face(Box(0, 0, 10, 10), 1.0, points)
    colour = np.dstack([steps(0), steps(1), steps(2)])
    grey = np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.uint8)
    assert measure_quality(colour, face) == measure_quality(grey, face)
