"""What every kind of detector promises, whatever its network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.errors import ModelError
from edge_fer.faces.boxes import corners_of, overlap
from edge_fer.faces.detectors import Detector, Follower, chosen_networks, open_detector, open_follower, open_landmarks
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import DetectSettings, TrackSettings
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Box, Face, Image

KINDS = ("mtcnn", "yolo")


@pytest.fixture(scope="module", params=KINDS)
def settings(request: pytest.FixtureRequest) -> DetectSettings:
    return DetectSettings(kind=request.param, precision="float32")


@pytest.fixture(scope="module")
def detector(settings: DetectSettings) -> Iterator[Detector]:
    with open_detector(settings, ModelStore()) as opened:
        yield opened


@pytest.fixture(scope="module")
def follower(settings: DetectSettings) -> Iterator[Follower]:
    opened = open_follower(settings, TrackSettings(), ModelStore())
    if opened is None:
        pytest.skip("this kind has no follower")
    with opened:
        yield opened


@pytest.fixture(scope="module")
def crowd() -> Image:
    """Four faces."""
    return crowd_scene(seed=3, faces=4, frames=1).render(0)


def find(settings: DetectSettings, image: Image, **changes: object) -> tuple[Face, ...]:
    with open_detector(settings.model_copy(update=changes), ModelStore()) as opened:
        return opened.find(image)


def least_overlap(faces: list[Face], others: list[Face]) -> float:
    """Of each face with the one of the others that it overlaps most."""
    shares = overlap(corners_of([face.box for face in faces]), corners_of([face.box for face in others]))
    return float(shares.max(axis=1).min())


def test_faces_have_landmarks_within_the_picture_and_the_best_comes_first(detector: Detector, crowd: Image) -> None:
    faces = detector.find(crowd)
    assert len(faces) == 4
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    height, width = crowd.shape[:2]
    for face in faces:
        assert all(0 <= point.x < width and 0 <= point.y < height for point in face.landmarks.points)
        assert face.landmarks.left_eye.x < face.landmarks.right_eye.x, "left and right as seen in the picture"
        assert face.landmarks.left_eye.y < face.landmarks.mouth_left.y


@pytest.mark.parametrize("shape", [(600, 600), (11, 600), (600, 11), (1, 1)])
def test_no_face_is_an_empty_tuple(detector: Detector, shape: tuple[int, int]) -> None:
    assert detector.find(np.full((*shape, 3), 90, np.uint8)) == ()


def test_a_picture_is_not_written_to_and_gives_the_same_faces_again(detector: Detector, crowd: Image) -> None:
    before = crowd.copy()
    first = detector.find(crowd)
    detector.find(np.ascontiguousarray(crowd[:100]))
    assert detector.find(crowd) == first
    np.testing.assert_array_equal(crowd, before)


def test_without_landmarks_the_same_faces_are_found(detector: Detector, crowd: Image) -> None:
    faces = detector.find(crowd)
    places = [(face.box, face.score, face.expression) for face in faces]
    assert [(face.box, face.score, face.expression) for face in detector.find(crowd, landmarks=False)] == places


def test_landmarks_can_be_measured_in_any_boxes(settings: DetectSettings, detector: Detector, crowd: Image) -> None:
    network = open_landmarks(settings, ModelStore())
    if network is None:
        pytest.skip("this kind's own network gives them")
    faces = dict(enumerate(detector.find(crowd)))
    with network:
        found = network.follow(crowd, {**{key: face.box for key, face in faces.items()}, 9: Box(0, 0, 30, 30)})
        assert found.keys() == {*faces, 9}, "whatever they show"
        assert all(found[key].landmarks == face.landmarks for key, face in faces.items())


def test_faces_of_a_large_frame_are_in_its_pixels(detector: Detector, crowd: Image) -> None:
    large = np.asarray(cv2.resize(crowd, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
    halved = [
        Face(Box(face.box.x / 2, face.box.y / 2, face.box.width / 2, face.box.height / 2), face.score, face.landmarks)
        for face in detector.find(large)
    ]
    assert len(halved) == 4
    assert least_overlap(halved, list(detector.find(crowd))) > 0.8


def test_the_limits_of_the_settings_hold(settings: DetectSettings, detector: Detector, crowd: Image) -> None:
    every = detector.find(crowd)
    assert find(settings, crowd, max_faces=3) == every[:3]
    limit = every[1].score
    assert find(settings, crowd, score=limit) == tuple(face for face in every if face.score > limit)


def test_a_follower_finds_the_faces_near_their_places(detector: Detector, follower: Follower, crowd: Image) -> None:
    faces = dict(zip("abcd", detector.find(crowd), strict=True))
    expected = {key: face.box._replace(x=face.box.x + 3, y=face.box.y - 3) for key, face in faces.items()}
    found = follower.follow(crowd, {**expected, "nothing": Box(0, 0, 30, 30)})
    assert list(found) == list("abcd"), "by their keys, and not where there is no face"
    assert all(least_overlap([found[key]], [face]) > 0.5 for key, face in faces.items())
    assert follower.follow(crowd, {}) == {}


def test_closing_twice_does_no_harm(settings: DetectSettings) -> None:
    for opened in (open_detector(settings, ModelStore()), open_follower(settings, TrackSettings(), ModelStore())):
        if opened is not None:
            opened.close()
            opened.close()


def test_the_chosen_networks_stand_in_the_manifest(settings: DetectSettings) -> None:
    names = chosen_networks(settings, ModelStore())
    assert names
    assert set(names) <= set(ModelStore().specs)


def test_a_missing_network_is_named(settings: DetectSettings, tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text("schema: edge-fer/models/1\nmodels: {}\n")
    name = chosen_networks(settings, ModelStore())[0]
    with pytest.raises(ModelError, match=name):
        open_detector(settings, ModelStore(tmp_path))
