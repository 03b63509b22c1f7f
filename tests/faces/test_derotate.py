from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.faces.derotate import derotate
from edge_fer.faces.finder import Finder, open_finder
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import DetectSettings, Settings
from edge_fer.status.monitor import Monitor
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Box, Image, Track
from tests.support.records import face_at

# `auto` would go by a measurement, and boxes differ a little with it.
SETTINGS = Settings(detect=DetectSettings(precision="float32"))
ANGLES = [-60.0, -45.0, -30.0, 30.0, 45.0, 60.0]


def banked(image: Image, roll_deg: float) -> Image:
    """What a camera sees that is turned clockwise, as seen from behind it: the scene turns the other way."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), roll_deg, 1.0)
    return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


@pytest.fixture(scope="module")
def portrait() -> Image:
    """One face, in the middle of 600x400 pixels."""
    scene = crowd_scene(seed=3, faces=2, frames=1)
    face = max((true.box for true in scene.truth(0)), key=lambda box: box.x)
    left, top = int(face.x + face.width / 2), int(face.y + face.height / 2)
    around = cv2.copyMakeBorder(scene.render(0), 400, 400, 400, 400, cv2.BORDER_CONSTANT, value=(90, 90, 90))
    cut = around[top + 300 : top + 500, left + 250 : left + 550]
    return np.asarray(cv2.resize(cut, (600, 400), interpolation=cv2.INTER_CUBIC), np.uint8)


def find(image: Image, roll_deg: float | None) -> tuple[Track, ...]:
    with open_finder(SETTINGS, ModelStore(), Monitor(1).stage) as finder:
        return finder.find(image, 0, live=False, still=True, roll_deg=roll_deg)


@pytest.mark.parametrize("roll_deg", ANGLES)
def test_a_banking_camera_sees_the_same_face(portrait: Image, roll_deg: float) -> None:
    upright = find(portrait, None)
    turned = find(banked(portrait, roll_deg), roll_deg)
    assert len(upright) == len(turned) == 1
    eyes = [turned[0].face.landmarks.left_eye, turned[0].face.landmarks.right_eye]
    slope = np.degrees(np.arctan2(eyes[1].y - eyes[0].y, eyes[1].x - eyes[0].x))
    before = [upright[0].face.landmarks.left_eye, upright[0].face.landmarks.right_eye]
    level = np.degrees(np.arctan2(before[1].y - before[0].y, before[1].x - before[0].x))
    assert slope == pytest.approx(level - roll_deg, abs=4.0)
    assert middle(turned[0].face.box) == pytest.approx(
        rotated(middle(upright[0].face.box), portrait, roll_deg), abs=8.0
    )


def test_without_it_a_bank_hides_the_face(portrait: Image) -> None:
    hidden = [roll for roll in (*ANGLES, 90.0) if not find(banked(portrait, roll), None)]
    assert len(hidden) >= 2


@pytest.fixture
def finder() -> Iterator[Finder]:
    with open_finder(SETTINGS, ModelStore(), Monitor(1).stage) as finder:
        yield finder


def test_a_face_is_followed_through_a_turn(finder: Finder, portrait: Image) -> None:
    ids = []
    for index, roll_deg in enumerate(np.linspace(-60, 60, 25).tolist()):
        tracks = finder.find(banked(portrait, roll_deg), index * 33_000_000, live=False, roll_deg=roll_deg)
        ids.append([track.id for track in tracks])
    assert ids == [[1]] * 25


@given(
    roll_deg=st.floats(-180, 180),
    width=st.integers(20, 900),
    height=st.integers(20, 900),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
def test_a_view_maps_back_to_its_frame(roll_deg: float, width: int, height: int, x: float, y: float) -> None:
    frame = np.zeros((height, width, 3), np.uint8)
    view = derotate(frame, 300, roll_deg)
    side = view.image.shape[0]
    assert view.image.shape == (side, side, 3)
    face = face_at(x * side, y * side, 10)
    (there,) = view.to_frame((face,), frame)
    scale = max(width, height) / max(view.small.shape[:2])
    mine, theirs = face.landmarks, there.landmarks
    distance = np.hypot(mine.nose.x - mine.left_eye.x, mine.nose.y - mine.left_eye.y)
    moved = np.hypot(theirs.nose.x - theirs.left_eye.x, theirs.nose.y - theirs.left_eye.y)
    assert moved == pytest.approx(distance * scale, rel=0.1)
    assert (there.box.width, there.box.height) == pytest.approx((10 * scale, 10 * scale), rel=0.1)


def test_a_view_that_is_not_turned_is_the_frame_itself() -> None:
    frame = np.zeros((30, 40, 3), np.uint8)
    view = derotate(frame, 300, None)
    assert view.image is frame
    face = face_at(5, 6, 10)
    assert view.to_frame((face,), frame) == (face,)


def middle(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


def rotated(point: tuple[float, float], image: Image, roll_deg: float) -> tuple[float, float]:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), roll_deg, 1.0)
    x, y = turn @ (*point, 1.0)
    return float(x), float(y)
