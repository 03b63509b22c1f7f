from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import pytest

from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.faces.detectors.mtcnn.detector import chosen_networks
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.realtime.mtcnn_reference import (
    SCORE,
    THRESHOLDS,
    Expected,
    compare,
    digest,
    read_reference,
    renderings,
    total,
)
from edge_fer.settings import DetectSettings
from edge_fer.types import Box, Face, Image, Landmarks, Point
from tests.support import ROOT

FLOAT32 = ("mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet")
INT8 = ("mtcnn_pnet_int8", "mtcnn_rnet_int8", "mtcnn_onet_int8")
REFERENCE = ROOT / "tests" / "data" / "mtcnn_reference" / "reference.json"


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image]:
    return dict(renderings())


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    """With the thresholds of the mtcnn package."""
    settings = DetectSettings(min_face=20, size=600, precision="float32", score=SCORE, thresholds=THRESHOLDS)
    with open_detector(settings, ModelStore()) as opened:
        yield opened


def detect(image: Image, **settings: object) -> tuple[Face, ...]:
    with open_detector(DetectSettings(**{"min_face": 20, "precision": "float32", **settings}), ModelStore()) as opened:
        return opened.find(image)


def firm(faces: tuple[Face, ...]) -> Expected:
    return Expected(faces, (False,) * len(faces))


def scaled(face: Face, x: float, y: float) -> Face:
    """The face after its picture was enlarged; whole coordinates are pixel centres."""

    def moved(px: float, py: float) -> Point:
        return Point((px + 0.5) * x - 0.5, (py + 0.5) * y - 0.5)

    marks, box = face.landmarks, face.box
    points = (marks.left_eye, marks.right_eye, marks.nose, marks.mouth_left, marks.mouth_right)
    corner = moved(box.x, box.y)
    box = Box(corner.x, corner.y, box.width * x, box.height * y)
    return Face(box, face.score, Landmarks(*(moved(point.x, point.y) for point in points)))


@pytest.mark.slow
def test_pictures_are_those_that_the_package_saw(pictures: dict[str, Image]) -> None:
    assert {name: digest(image) for name, image in pictures.items()} == {
        name: sha256 for name, (sha256, _) in read_reference(REFERENCE).items()
    }


@pytest.mark.slow
def test_the_same_faces_as_the_package(pictures: dict[str, Image], detector: Detector) -> None:
    reference = read_reference(REFERENCE)
    agreement = total([compare(reference[name][1], detector.find(image)) for name, image in pictures.items()])
    assert agreement.expected >= 100
    assert agreement.recall >= 0.98
    assert agreement.precision >= 0.98
    assert agreement.tied <= 0.05 * agreement.expected
    assert agreement.iou >= 0.9
    assert agreement.landmark_error <= 2


def landmark_errors(expected: tuple[Face, ...], found: tuple[Face, ...]) -> Iterator[np.ndarray]:
    """Distances of the five landmarks from those of the nearest face, pixels, `(5,)`, for each face that has one."""
    for face in expected:
        distances = [
            np.linalg.norm(np.subtract(face.landmarks.points, other.landmarks.points), axis=1) for other in found
        ]
        nearest = min(distances, key=np.mean, default=np.full(5, np.inf))
        if nearest.mean() < face.box.width / 4:
            yield nearest


@pytest.mark.slow
def test_int8_finds_the_faces_that_float_finds(pictures: dict[str, Image]) -> None:
    with (
        open_detector(DetectSettings(precision="float32"), ModelStore()) as float32,
        open_detector(DetectSettings(precision="int8"), ModelStore()) as int8,
    ):
        pairs = [(float32.find(image), int8.find(image)) for image in pictures.values()]
    agreement = total([compare(firm(expected), found) for expected, found in pairs])
    errors = np.concatenate([error for pair in pairs for error in landmark_errors(*pair)])
    assert agreement.expected >= 100
    assert agreement.recall >= 0.97
    assert agreement.precision >= 0.97
    assert len(errors) == 5 * agreement.matched
    assert errors.mean() <= 1.5
    assert np.mean(errors <= 3) >= 0.9


@pytest.mark.parametrize(("precision", "names"), [("float32", FLOAT32), ("int8", INT8)])
def test_a_named_precision_is_taken_without_a_measurement(precision: str, names: tuple[str, ...]) -> None:
    def never(*_: object, **__: object) -> str:
        raise AssertionError("measured")

    assert chosen_networks(DetectSettings(precision=precision), ModelStore(), never) == names


@pytest.mark.parametrize("choose", [min, max])
def test_auto_takes_the_quicker_file_of_each_network(choose: Callable[[Iterable[str]], str]) -> None:
    measured: list[tuple[str, ...]] = []

    def quicker(files: dict[str, bytes], shape: tuple[int, ...], *, threads: int) -> str:
        measured.append((*files, *map(str, shape[:1]), str(threads)))
        return choose(files)

    expected = FLOAT32 if choose is min else INT8
    assert chosen_networks(DetectSettings(threads=3), ModelStore(), quicker) == expected
    assert [files[:2] for files in measured] == list(zip(FLOAT32, INT8, strict=True))
    assert [files[2:] for files in measured] == [("1", "3"), ("8", "3"), ("1", "3")]


def test_faces_of_a_large_frame_are_in_its_pixels(pictures: dict[str, Image], detector: Detector) -> None:
    image = pictures["obama/collage"]
    large = cv2.resize(image, (1200, 1200), interpolation=cv2.INTER_NEAREST)
    expected = tuple(scaled(face, 2, 2) for face in detector.find(image))
    agreement = compare(firm(expected), detector.find(large))
    assert agreement.matched == agreement.found == len(expected) > 10
    assert agreement.iou > 0.999
    assert agreement.landmark_error < 0.01


def test_small_frames_are_never_enlarged(pictures: dict[str, Image]) -> None:
    image = pictures["obama/plain"][:300, 150:500]
    assert detect(image, size=350) == detect(image, size=1200)


def test_a_source_may_change_its_size(pictures: dict[str, Image], detector: Detector) -> None:
    image = pictures["biden/plain"]
    wide = np.ascontiguousarray(image[:400])
    first, second = detector.find(image), detector.find(wide)
    assert len(first) == len(second) == 1
    assert detector.find(image) == first
    assert detector.find(wide) == second


@pytest.mark.parametrize("shape", [(600, 600), (11, 600), (600, 11), (1, 1), (19, 19), (20, 20)])
def test_no_face_is_an_empty_tuple(shape: tuple[int, int], detector: Detector) -> None:
    assert detector.find(np.full((*shape, 3), 90, np.uint8)) == ()


def test_best_faces_first_and_no_more_than_asked_for(pictures: dict[str, Image], detector: Detector) -> None:
    every = detector.find(pictures["astronaut/collage"])
    scores = [face.score for face in every]
    assert scores == sorted(scores, reverse=True)
    assert detect(pictures["astronaut/collage"], max_faces=3) == every[:3]


def test_faces_below_the_score_are_left_out(pictures: dict[str, Image], detector: Detector) -> None:
    every = detector.find(pictures["astronaut/collage"])
    limit = every[4].score
    assert detect(pictures["astronaut/collage"], score=limit) == tuple(face for face in every if face.score > limit)


def test_faces_below_the_smallest_are_not_sought(pictures: dict[str, Image]) -> None:
    assert detect(pictures["biden/collage"], min_face=400) == ()
    assert len(detect(pictures["biden/plain"], min_face=100)) == 1


def test_boxes_end_at_the_picture(pictures: dict[str, Image], detector: Detector) -> None:
    """Half of the face is cut off; its box must not reach beyond the picture."""
    image = np.ascontiguousarray(pictures["obama_speaking/plain"][:, 280:])
    (face,) = detector.find(image)
    assert face.box.x == 0
    assert face.box.x + face.box.width <= image.shape[1] - 1
