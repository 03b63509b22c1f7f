from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.faces.align import align, eye_transform
from edge_fer.inference.manifest_parts import CropSpec
from tests.support.records import landmarks_at

CROP = CropSpec(eye_distance=0.4, eye_y=0.4, detail=224)


@given(
    x=st.floats(-50, 700),
    y=st.floats(-50, 500),
    distance=st.floats(2, 300),
    angle=st.floats(-180, 180),
    size=st.integers(16, 300),
)
def test_eyes_come_to_their_place(x: float, y: float, distance: float, angle: float, size: int) -> None:
    face = landmarks_at(x, y, distance, angle)
    transform = eye_transform(face, CROP, size)
    left = transform @ (*face.left_eye, 1.0)
    right = transform @ (*face.right_eye, 1.0)
    half = CROP.eye_distance * size / 2
    np.testing.assert_allclose(left, (size / 2 - 0.5 - half, CROP.eye_y * size - 0.5, 1), atol=1e-6 * size)
    np.testing.assert_allclose(right, (size / 2 - 0.5 + half, CROP.eye_y * size - 0.5, 1), atol=1e-6 * size)


@given(distance=st.floats(2, 300), angle=st.floats(-180, 180))
def test_the_transform_is_a_similarity(distance: float, angle: float) -> None:
    linear = eye_transform(landmarks_at(100, 100, distance, angle), CROP, 224)[:2, :2]
    scale = np.sqrt(np.linalg.det(linear))
    np.testing.assert_allclose(linear @ linear.T, np.eye(2) * scale**2, atol=1e-9 * scale**2)


def face_picture(distance: float, angle: float) -> np.ndarray:
    """Two white eyes, and a grey mouth below them, on black; smooth enough to survive sampling."""
    picture = np.zeros((800, 800, 3), np.uint8)
    face = landmarks_at(400, 400, distance, angle)
    for point, shade in ((face.left_eye, 255), (face.right_eye, 255), (face.mouth_left, 128), (face.mouth_right, 128)):
        cv2.circle(picture, (round(point.x), round(point.y)), max(round(distance * 0.15), 1), (shade,) * 3, -1)
    return picture


def test_turned_and_scaled_faces_look_the_same() -> None:
    crops = [
        align(face_picture(distance, angle), landmarks_at(400, 400, distance, angle), CROP, 224).astype(float)
        for distance, angle in ((200.0, 0.0), (100.0, 25.0), (60.0, -70.0), (150.0, 180.0))
    ]
    for crop in crops[1:]:
        assert np.abs(crop - crops[0]).mean() < 6


def test_eyes_are_bright_where_they_belong() -> None:
    crop = align(face_picture(100, 40), landmarks_at(400, 400, 100, 40), CROP, 224)
    y = round(CROP.eye_y * 224)
    assert crop[y, round(224 * 0.3)] > 240
    assert crop[y, round(224 * 0.7)] > 240
    assert crop[y, 112] < 20


def test_large_faces_are_averaged_before_they_are_sampled() -> None:
    """A one-pixel chequerboard is grey from afar; plain sampling would show stripes."""
    board = (np.indices((800, 800)).sum(axis=0) % 2 * 255).astype(np.uint8)
    crop = align(cv2.merge([board] * 3), landmarks_at(400, 400, 300, 10), CROP.model_copy(update={"detail": 48}), 224)
    assert crop.std() < 8
    assert abs(float(crop.mean()) - 127.5) < 2


def test_detail_limits_what_the_network_sees() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    face = landmarks_at(200, 200, 89.6)
    coarse = align(noise, face, CROP.model_copy(update={"detail": 48}), 224)
    fine = align(noise, face, CROP, 224)
    assert coarse.shape == fine.shape == (224, 224)
    assert cv2.Laplacian(coarse, cv2.CV_64F).var() < cv2.Laplacian(fine, cv2.CV_64F).var() / 20


@given(x=st.floats(-300, 400), y=st.floats(-300, 300), distance=st.floats(0, 500), angle=st.floats(-180, 180))
def test_faces_that_leave_the_picture_repeat_its_edge(x: float, y: float, distance: float, angle: float) -> None:
    picture = np.full((40, 60, 3), 77, np.uint8)
    crop = align(picture, landmarks_at(x, y, distance, angle), CROP, 32)
    assert crop.shape == (32, 32)
    assert (crop == 77).all()


def test_the_frame_is_not_written_to() -> None:
    picture = face_picture(100, 10)
    before = picture.copy()
    picture.setflags(write=False)
    align(picture, landmarks_at(400, 400, 100, 10), CROP, 224)
    assert (picture == before).all()


@given(
    x=st.floats(-20, 80), y=st.floats(-20, 60), distance=st.floats(2, 120), angle=st.floats(-180, 180),
    size=st.sampled_from([16, 48]),
)  # fmt: skip
def test_colour_has_the_geometry_of_grey(x: float, y: float, distance: float, angle: float, size: int) -> None:
    """A picture without colour gives the same crop on every channel, within the rounding of the luminance."""
    grey = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 256, (60, 80), dtype=np.uint8), (0, 0), 2)
    crop = CROP.model_copy(update={"detail": 32})
    picture, face = cv2.merge([grey] * 3), landmarks_at(x, y, distance, angle)
    colour = align(picture, face, crop, size, colour=True)
    assert colour.shape == (size, size, 3)
    assert colour.dtype == np.uint8
    difference = np.abs(colour.astype(int) - align(picture, face, crop, size)[:, :, np.newaxis])
    assert difference.max() <= 2


def test_the_channels_stay_in_their_order() -> None:
    picture = np.full((60, 80, 3), (10, 100, 200), np.uint8)
    assert (align(picture, landmarks_at(40, 30, 20), CROP, 32, colour=True) == (10, 100, 200)).all()
