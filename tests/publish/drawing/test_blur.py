from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.capture.sources.sample import CLIP
from edge_fer.publish.drawing.blur import blur_faces
from edge_fer.publish.recording import Recording
from edge_fer.settings import PublishSettings
from edge_fer.types import Box
from tests.support.records import make_face_reading, make_reading

FACE = make_face_reading()
NOISE = np.random.default_rng(0).integers(0, 255, (360, 640, 3), dtype=np.uint8)


def test_a_head_is_a_few_flat_squares_and_the_rest_as_it_was() -> None:
    NOISE.setflags(write=False)
    picture = blur_faces(NOISE, [FACE])
    x, y, width, height = (round(value) for value in FACE.box)
    head = picture[y - height // 3 : y + height * 5 // 4, x - width // 4 : x + width * 5 // 4]
    assert len(np.unique(head.reshape(-1, 3), axis=0)) <= 100
    assert (picture[:, 300:] == NOISE[:, 300:]).all()


@pytest.mark.parametrize(
    "box", [Box(-20, -20, 60, 60), Box(600, 330, 80, 80), Box(700, 400, 50, 50), Box(10, 10, 0.4, 0.4)]
)
def test_a_face_at_the_edge_or_beyond_is_no_fault(box: Box) -> None:
    assert blur_faces(NOISE, [replace(FACE, box=box)]).shape == NOISE.shape


def test_no_face_is_no_change() -> None:
    assert (blur_faces(NOISE, []) == NOISE).all()


def test_a_recording_hides_faces_when_asked(tmp_path: Path) -> None:
    video = cv2.VideoCapture(str(CLIP))
    frame = video.read()[1]
    video.release()
    roughness = {}
    for blur in (False, True):
        path = tmp_path / f"{blur}.png"
        sink = Recording(PublishSettings(record=str(path)), blur=blur)
        sink.publish(make_reading(faces=(FACE,)), np.resize(NOISE, frame.shape))
        sink.close()
        picture = cv2.imread(str(path))
        roughness[blur] = float(np.std(picture[75:82, 105:112]))
    assert roughness[False] > 3 * roughness[True]
