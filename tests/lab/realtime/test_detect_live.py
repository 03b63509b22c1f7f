"""The detector against the `mtcnn` package itself, on pictures that the project does not ship."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.faces.detectors import open_detector
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.realtime.mtcnn_reference import SCORE, THRESHOLDS, Agreement, Package, compare, total
from edge_fer.settings import DetectSettings
from edge_fer.types import Image

pytestmark = [
    pytest.mark.lab,
    pytest.mark.shared,
    pytest.mark.skipif(find_spec("mtcnn") is None, reason="needs the extra `lab`"),
    pytest.mark.filterwarnings("default"),  # TensorFlow warns of itself
]

PICTURES = ("biden.jpg", "ivan.jpg", "no-faces.jpg", "obama-720p.jpg", "obama_and_biden.jpg")
CLIP = "short_hamilton_clip.mp4"
FRAMES = 40


def resized(image: Image) -> Image:
    """The picture with a long side of 600 pixels."""
    scale = 600 / max(image.shape[:2])
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def frames(path: Path, count: int) -> Iterator[Image]:
    """Evenly spaced frames of a video."""
    video = cv2.VideoCapture(str(path))
    last = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) - 1
    wanted = set(np.linspace(0, last, count).round().astype(int).tolist())
    for index in range(last + 1):
        _, image = video.read()
        if index in wanted:
            yield image
    video.release()


def agreement_on(images: list[Image]) -> Agreement:
    package = Package()
    settings = DetectSettings(min_face=20, size=600, precision="float32", score=SCORE, thresholds=THRESHOLDS)
    with open_detector(settings, ModelStore()) as detector:
        return total([compare(package.find(image), detector.find(image)) for image in images])


def check(agreement: Agreement) -> None:
    assert agreement.recall >= 0.98
    assert agreement.precision >= 0.98
    assert agreement.tied <= 0.1 * agreement.expected
    assert agreement.iou >= 0.9
    assert agreement.landmark_error <= 2


def test_pictures(shared: Path) -> None:
    assert {path.name for path in (shared / "media").glob("*.jpg")} == set(PICTURES)
    agreement = agreement_on([resized(cv2.imread(str(shared / "media" / name))) for name in PICTURES])
    assert agreement.expected >= 4
    check(agreement)


def test_frames_of_the_clip(shared: Path) -> None:
    images = [resized(image) for image in frames(shared / "media" / CLIP, FRAMES)]
    assert len(images) == FRAMES
    agreement = agreement_on(images)
    assert agreement.expected >= 20
    check(agreement)
