"""The detector of one pass: its faces, their landmarks and what they show; and what is wrong with a network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from edge_fer.errors import ModelError
from edge_fer.faces.detectors import chosen_networks, open_detector, open_follower
from edge_fer.faces.detectors.yolov3_tiny.network import agree, open_network
from edge_fer.faces.detectors.yolov3_tiny.verify import verify_detector
from edge_fer.inference.model_store import MANIFEST, ModelStore
from edge_fer.settings import DetectSettings, TrackSettings
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import LABELS, Image, Origin
from tests.support.fake_edgetpu import DETECTOR, add_detector, painted, twin_store

SETTINGS = DetectSettings(kind="yolo", min_face=20, size=64, precision="float32", threads=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder = tmp_path_factory.mktemp("models")
    twin_store(folder)
    add_detector(folder)
    return ModelStore(folder)


@pytest.fixture(scope="module")
def face() -> Image:
    frame = crowd_scene(seed=3, faces=1, frames=1).render(0)
    return np.asarray(cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.fixture
def changed(store: ModelStore, tmp_path: Path) -> Any:
    """The same folder with another entry of the detector."""
    content = yaml.safe_load((store.folder / MANIFEST).read_text())

    def change(**fields: object) -> ModelStore:
        content["models"][DETECTOR] |= fields
        for entry in content["models"].values():
            entry["file"] = str(store.folder / entry["file"])
        (tmp_path / MANIFEST).write_text(yaml.safe_dump(content))
        return ModelStore(tmp_path)

    return change


def test_a_face_has_a_box_landmarks_and_what_it_shows(store: ModelStore, face: Image) -> None:
    with open_detector(SETTINGS, store) as detector:
        assert detector.find(np.zeros_like(face)) == ()
        (found,) = detector.find(painted(face, 3))
        assert tuple(found.box) == pytest.approx((16, 16, 32, 32), abs=0.5)
        assert found.score == pytest.approx(1, abs=1e-3)
        assert found.expression is not None
        assert found.expression.label == LABELS[3]
        assert sum(found.expression.probabilities) == pytest.approx(1)
        assert found.expression.origin == detector.origin == Origin(DETECTOR, "cpu")
        left, right = found.landmarks.left_eye, found.landmarks.right_eye
        assert 16 <= left.x < right.x <= 48


def test_boxes_are_in_the_pixels_of_any_picture(store: ModelStore, face: Image) -> None:
    large = np.asarray(cv2.resize(painted(face, 0), (192, 192), interpolation=cv2.INTER_NEAREST), np.uint8)
    with open_detector(SETTINGS, store) as detector:
        (found,) = detector.find(large)
    assert tuple(found.box) == pytest.approx((49, 49, 96, 96), abs=1)


def test_the_limits_of_the_settings_hold(store: ModelStore, face: Image) -> None:
    for change in ({"min_face": 40}, {"score": 0.9999}):
        with open_detector(SETTINGS.model_copy(update=change), store) as detector:
            assert detector.find(painted(face, 0)) == ()


def test_the_fake_device_answers_and_says_so(store: ModelStore, face: Image) -> None:
    with open_detector(SETTINGS.model_copy(update={"backend": "fake", "max_faces": 2}), store) as detector:
        assert len(detector.find(face)) <= 2
        assert detector.origin == Origin(DETECTOR, "fake")


def test_closing_twice_does_no_harm_and_the_networks_stand_in_the_manifest(store: ModelStore) -> None:
    for opened in (open_detector(SETTINGS, store), open_follower(SETTINGS, TrackSettings(), store)):
        assert opened is not None
        opened.close()
        opened.close()
    assert chosen_networks(SETTINGS, store) == (DETECTOR, "mtcnn_onet")


def test_a_network_that_is_not_what_its_entry_says_is_refused(changed: Any) -> None:
    other = changed(labels=[*LABELS, "contempt"], label_map={"contempt": None})
    with pytest.raises(ModelError, match=r"expected `yolov3_tiny` to give \(1, 4, 4, 39\) and \(1, 2, 2, 39\), found"):
        open_detector(SETTINGS, other)


def test_a_file_that_is_no_network_is_refused(changed: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"nothing")
    other = changed(file=str(tmp_path / "broken.tflite"), sha256=hashlib.sha256(b"nothing").hexdigest())
    with pytest.raises(ModelError, match=DETECTOR):
        open_detector(SETTINGS, other)


def test_a_missing_network_is_named() -> None:
    with pytest.raises(ModelError, match=r"expected a model for `detect`.*found `nobody`"):
        open_detector(SETTINGS.model_copy(update={"model": "nobody"}), ModelStore())


def test_devices_that_see_otherwise_do_not_agree(store: ModelStore, face: Image) -> None:
    with open_network(store, DETECTOR) as network:
        one, other = network.maps(painted(face, 0)), network.maps(painted(face, 1))
    assert agree(one, one, 0.01)
    assert not agree(one, other, 0.25)


def test_a_detector_is_verified_by_searching_pictures(store: ModelStore, changed: Any) -> None:
    verify_detector(store, DETECTOR)
    with pytest.raises(ModelError, match=r"expected `yolov3_tiny` to give"):
        verify_detector(changed(labels=[*LABELS, "contempt"], label_map={"contempt": None}), DETECTOR)
