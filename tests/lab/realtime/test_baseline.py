"""The plain baselines find and read the faces that the runtime finds and reads."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from edge_fer.faces.detectors import open_detector
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.realtime.baseline import SCORE, Plain, PlainLiteRT, Readings
from edge_fer.lab.realtime.mtcnn_reference import Expected, compare, renderings
from edge_fer.settings import DetectSettings
from edge_fer.types import Image

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(find_spec("mtcnn") is None, reason="needs the extra `lab`"),
    pytest.mark.filterwarnings("default"),  # TensorFlow warns of itself
]


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    chosen = {"obama/plain", "astronaut/collage", "biden/turned_right"}
    return [image for name, image in renderings() if name in chosen]


def expected(image: Image, baseline: Plain | PlainLiteRT) -> Expected:
    with open_detector(DetectSettings(min_face=baseline.min_face, score=SCORE), ModelStore()) as detector:
        faces = detector.find(image)
    return Expected(faces, (False,) * len(faces))


def check_probabilities(readings: Readings) -> None:
    for _, expression in readings:
        assert sum(expression.probabilities) == pytest.approx(1)


def test_litert_finds_the_runtimes_faces(pictures: list[Image]) -> None:
    with PlainLiteRT() as baseline:
        for image in pictures:
            readings = baseline.process(image)
            agreement = compare(expected(image, baseline), [face for face, _ in readings])
            assert agreement.matched == agreement.found == agreement.expected > 0
            assert agreement.iou > 0.999
            assert agreement.landmark_error < 0.05
            check_probabilities(readings)
        assert baseline.process(np.zeros((600, 600, 3), np.uint8)) == ()


def test_the_package_finds_the_runtimes_faces(pictures: list[Image]) -> None:
    with Plain() as baseline:
        for image in pictures:
            readings = baseline.process(image)
            agreement = compare(expected(image, baseline), [face for face, _ in readings])
            assert agreement.matched == agreement.found == agreement.expected > 0
            check_probabilities(readings)
        assert baseline.process(np.zeros((600, 600, 3), np.uint8)) == ()
