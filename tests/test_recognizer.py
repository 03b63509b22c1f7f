from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_fer.recognizer import Recognizer
from edge_fer.settings import ClassifySettings, Settings, load_settings
from edge_fer.status.monitor import Monitor
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import LABELS, Frame, Image
from tests.support.fake_edgetpu import ENSEMBLE, twin_store


def settings_for(**flags: Any) -> Settings:
    return load_settings(environment={}, flags={name.replace("__", "."): value for name, value in flags.items()})


def recognizer_of(**flags: Any) -> Recognizer:
    return Recognizer(settings_for(**flags), Monitor(60).stage)


def frames_of(images: list[Image], period_ns: int = 10**9) -> list[Frame]:
    return [Frame(index, image, 1 + index, 0.0, index * period_ns) for index, image in enumerate(images)]


@pytest.fixture(scope="module")
def two_faces() -> list[Image]:
    """Four pictures of the same two faces."""
    scene = crowd_scene(seed=3, faces=2, frames=4)
    return [scene.render(index) for index in range(4)]


def test_every_face_of_every_frame_is_classified(two_faces: list[Image]) -> None:
    with recognizer_of() as recognizer:
        read = list(recognizer.read(frames_of(two_faces)))
    assert [len(recognized.faces) for recognized in read] == [2] * 4
    for recognized in read:
        assert (recognized.origin.model, recognized.origin.backend, recognized.origin.reason) == (
            ClassifySettings().model, "cpu", None,
        )  # fmt: skip
        for face in recognized.faces:
            assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-3)
            assert face.pose is not None
            assert abs(face.pose.yaw) < 60


def test_a_frame_can_be_asked_for_before_and_after_its_faces_are_classified(two_faces: list[Image]) -> None:
    first, second = frames_of(two_faces[:2])
    with recognizer_of() as recognizer:
        found = recognizer.find(first)
        assert [face.why for face in recognizer.result(found, 0).faces] == ["not_read_yet"] * 2
        recognizer.submit(found)
        recognizer.wait()
        assert recognizer.done
        labels = [face.probabilities for face in recognizer.result(found, 0).faces]
        assert all(labels)
        later = recognizer.result(recognizer.find(second), now_ns=5_000_001)
        assert [face.probabilities for face in later.faces] == labels, "of the frame before"
        assert {face.label_age_ms for face in later.faces} == {5.0}


def test_grey_and_colour_cameras_read_alike(two_faces: list[Image]) -> None:
    grey = np.asarray(cv2.cvtColor(cv2.cvtColor(two_faces[0], cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    with recognizer_of() as recognizer:
        colourful, colourless = recognizer.read(frames_of([two_faces[0], grey], period_ns=1))
    assert len(colourful.faces) == 2
    for coloured, grey_face in zip(colourful.faces, colourless.faces, strict=True):
        differences = [abs(coloured.probabilities[label] - grey_face.probabilities[label]) for label in LABELS]
        assert max(differences) < 0.3, "the detector sees colours, so crops differ by a pixel, and no more"


@pytest.mark.slow
def test_what_is_known_of_faces_that_left_is_forgotten(two_faces: list[Image]) -> None:
    empty = np.full_like(two_faces[0], 90)
    with recognizer_of() as recognizer:
        shown = [two_faces[index % 2] if index % 10 < 5 else empty for index in range(40)]
        ids = {face.id for recognized in recognizer.read(frames_of(shown)) for face in recognized.faces}
        kept = recognizer._scheduler.classifications()
    assert len(ids) == 8, "two faces come four times"
    assert len(kept) <= 2


def test_the_bank_of_a_vehicle_counts_only_where_it_is_asked_for(two_faces: list[Image]) -> None:
    link = {"detect__roll": "mavlink", "publish__mavlink__url": "udpout:127.0.0.1:14550"}
    frame = frames_of(two_faces)[0]
    with recognizer_of(detect__roll=0.0) as fixed, recognizer_of(**link) as banking, recognizer_of(**link) as other:
        boxes = [
            [face.track.face.box for face in recognizer.find(frame, bank_deg=bank).faces]
            for recognizer, bank in ((fixed, 25.0), (banking, 0.0), (other, 25.0))
        ]
    assert boxes[0] == boxes[1]
    assert boxes[0] != boxes[2]


def test_networks_are_closed_whatever_fails(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="manifest"):
        recognizer_of(models=str(tmp_path))


def test_an_ensemble_is_spared_while_fewer_faces_are_classified(tmp_path: Path, two_faces: list[Image]) -> None:
    twin_store(tmp_path, ensemble=True)
    flags = {"capture.source": "sample", "models": str(tmp_path), "classify.model": ENSEMBLE}
    share = [1.0]
    settings = load_settings(environment={}, flags=flags)
    with Recognizer(settings, Monitor(60).stage, duty_cycle=lambda: share[0]) as recognizer:
        assert recognizer.model.origin.reason is None
        share[0] = 0.5
        assert "while the machine is hot" in (recognizer.model.origin.reason or "")
        (last,) = recognizer.read(frames_of(two_faces[:1]))
    assert last.faces
    assert last.origin.model == "se_resnet50"


def test_with_labels_of_its_own_each_reading_says_how_far_its_landmarks_lag(two_faces: list[Image]) -> None:
    with recognizer_of(detect__kind="yolo", detect__labels="own", keyframe__enabled=False) as recognizer:
        read = list(recognizer.read(frames_of(two_faces, period_ns=40_000_000)))
    assert [[face.landmarks_lag_ms for face in recognized.faces] for recognized in read] == [
        [0.0, 0.0], [0.0, 40.0], [40.0, 0.0], [0.0, 40.0],
    ]  # fmt: skip
    assert all(face.probabilities and face.pose for recognized in read for face in recognized.faces)
