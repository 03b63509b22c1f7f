from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import pytest
import yaml

from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.faces.detectors.mtcnn.files import chosen_networks
from edge_fer.inference.model_store import MANIFEST, ModelStore
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


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """A folder that says to have the networks in INT8, too."""
    folder, packaged = tmp_path_factory.mktemp("models"), ModelStore()
    content = yaml.safe_load((packaged.folder / MANIFEST).read_text())
    for entry in content["models"].values():
        entry["file"] = str(packaged.folder / entry["file"])
    content["models"] |= {int8: content["models"][name] for name, int8 in zip(FLOAT32, INT8, strict=True)}
    (folder / MANIFEST).write_text(yaml.safe_dump(content))
    return ModelStore(folder)


def detect(image: Image, **settings: object) -> tuple[Face, ...]:
    with open_detector(DetectSettings(**{"min_face": 20, "precision": "float32", **settings}), ModelStore()) as opened:
        return opened.find(image)


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


@pytest.mark.parametrize(("precision", "names"), [("float32", FLOAT32), ("int8", INT8)])
def test_a_named_precision_is_taken_without_a_measurement(
    precision: str, names: tuple[str, ...], both: ModelStore
) -> None:
    def never(*_: object, **__: object) -> str:
        raise AssertionError("measured")

    assert chosen_networks(DetectSettings(precision=precision), both, never) == names


def test_the_shipped_networks_are_float_and_nothing_is_measured() -> None:
    def never(*_: object, **__: object) -> str:
        raise AssertionError("measured")

    assert chosen_networks(DetectSettings(), ModelStore(), never) == FLOAT32


@pytest.mark.parametrize("choose", [min, max])
def test_auto_takes_the_quicker_file_of_each_network(choose: Callable[[Iterable[str]], str], both: ModelStore) -> None:
    measured: list[tuple[str, ...]] = []

    def quicker(files: dict[str, bytes], shape: tuple[int, ...], *, threads: int) -> str:
        measured.append((*files, *map(str, shape[:1]), str(threads)))
        return choose(files)

    expected = FLOAT32 if choose is min else INT8
    assert chosen_networks(DetectSettings(threads=3), both, quicker) == expected
    assert [files[:2] for files in measured] == list(zip(FLOAT32, INT8, strict=True))
    assert [files[2:] for files in measured] == [("1", "3"), ("8", "3"), ("1", "3")]


def test_faces_of_a_large_frame_are_in_its_pixels(pictures: dict[str, Image], detector: Detector) -> None:
    image = pictures["obama/collage"]
    large = cv2.resize(image, (1200, 1200), interpolation=cv2.INTER_NEAREST)
    expected = tuple(scaled(face, 2, 2) for face in detector.find(image))
    agreement = compare(Expected(expected, (False,) * len(expected)), detector.find(large))
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
