"""The region of a face that a classifier of two networks reads: cut out as in training, and told in pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_fer.errors import BackendError, ModelError
from edge_fer.expression.classifier import Classifier
from edge_fer.expression.face_reading import classified_reading
from edge_fer.expression.region import RegionFinder, corners_of, cut_out
from edge_fer.expression.scheduler import Classification
from edge_fer.faces.align import align, eye_transform, places_in_picture
from edge_fer.inference import TensorSpec
from edge_fer.inference.fake import FakeBackend
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_parts import CropSpec, EdgeTpuFile, RegionSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.schema import to_dict
from edge_fer.types import LABELS, AlignedFace, Expression, Point, Quality, Smoothed, Track
from tests.support.records import face_at, make_reading

SIZE = 48
PICTURE = InputSpec(size=SIZE, colour="grey", mean=0.5, std=0.5)
CROP = CropSpec(eye_distance=0.3, eye_y=0.37, detail=SIZE)
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])
IMAGE = TensorSpec("image", (1, SIZE, SIZE, 1), np.dtype(np.float32))


def spec(**changes: Any) -> ClassifierSpec:
    return ClassifierSpec(
        task="classify", input=PICTURE, quantization="float32", labels=LABELS, crop=CROP, file="two.tflite",
        sha256="0" * 64, card="two.md", source="tests", licence="none",
        region=RegionSpec(file="two_where.tflite", sha256="1" * 64), **changes,
    )  # fmt: skip


class Recorded(FakeBackend):
    """Answers with given values and keeps what it was asked."""

    def __init__(self, answer: Any, shape: tuple[int, ...] | None = None) -> None:
        self.answer = np.array([answer], np.float32)
        super().__init__((IMAGE,), (TensorSpec("answer", shape or self.answer.shape, np.dtype(np.float32)),))
        self.asked: NDArray[Any] = np.empty(0)

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        (self.asked,) = inputs
        return (self.answer,)


def a_face() -> NDArray[np.uint8]:
    patches = np.random.default_rng(1).integers(0, 256, (8, 8), np.uint8)
    return np.asarray(cv2.resize(patches, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_the_whole_face_is_the_face() -> None:
    np.testing.assert_array_equal(cut_out(a_face(), IDENTITY, PICTURE), a_face())
    assert corners_of(IDENTITY) == ((0, 0), (1, 0), (1, 1), (0, 1))


def test_the_upper_left_quarter_is_enlarged() -> None:
    quarter = np.array([[0.5, 0, -0.5], [0, 0.5, -0.5]])
    assert corners_of(quarter) == ((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5))
    enlarged = cv2.resize(a_face()[:24, :24], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    inside = slice(1, -2)  # beyond, one continues with the face, and the other with its edge
    difference = cut_out(a_face(), quarter, PICTURE)[inside, inside].astype(int) - enlarged[inside, inside]
    assert np.abs(difference).max() <= 2, "OpenCV's warp goes by 1/32 of a pixel"


def test_outside_of_the_face_it_is_grey() -> None:
    beside = cut_out(np.zeros((SIZE, SIZE), np.uint8), np.array([[1.0, 0, 2], [0, 1, 0]]), PICTURE)
    assert (beside == 128).all()
    tinted = InputSpec(size=SIZE, colour="rgb", mean=(1.0, 0.0, 0.2), std=1.0)
    assert cut_out(np.zeros((SIZE, SIZE, 3), np.uint8), IDENTITY + 9, tinted)[0, 0].tolist() == [51, 0, 255]


def test_the_classifier_sees_the_region_alone_and_says_where_it_is() -> None:
    where, reader = Recorded([0.5, 0, -0.5, 0, 0.5, -0.5]), Recorded([0, 0, 0, 9, 0, 0, 0])
    with Classifier("two", spec(), reader, region=RegionFinder("two", PICTURE, where)) as classifier:
        expression = classifier.classify(AlignedFace.of_crop(a_face()))
    assert expression.label == "happiness"
    assert expression.region == corners_of(where.answer.reshape(2, 3).astype(float))
    np.testing.assert_allclose(where.asked[0, ..., 0], (a_face() / 255 - 0.5) / 0.5, atol=1e-6)
    seen = cut_out(a_face(), where.answer.reshape(2, 3).astype(float), PICTURE)
    np.testing.assert_allclose(reader.asked[0, ..., 0], (seen / 255 - 0.5) / 0.5, atol=1e-6)
    for closed in (where, reader):
        with pytest.raises(BackendError, match="found one that was closed"):
            FakeBackend.infer(closed, np.zeros(IMAGE.shape, np.float32))


def test_what_finds_no_region_is_refused() -> None:
    with pytest.raises(ModelError, match=r"expected `two` on the CPU, where the region .* found fake; choose"):
        Classifier("two", spec(), Recorded([0] * 7))
    with pytest.raises(ModelError, match=r"of `two` that finds the region to give \(1, 6\), found \(1, 5\)"):
        RegionFinder("two", PICTURE, Recorded([0] * 5))
    with pytest.raises(BackendError, match=r"expected numbers from the network of `two` that finds the region"):
        RegionFinder("two", PICTURE, Recorded([np.nan] * 6)).find(a_face())


def test_an_edge_tpu_is_refused_in_a_line(tmp_path: Path) -> None:
    entry = spec().model_dump(mode="json", exclude_defaults=True)
    (tmp_path / "manifest.yaml").write_text(str({"schema": "edge-fer/models/1", "models": {"two": entry}}))
    store = ModelStore(tmp_path)
    assert [file.file for file in store.specs["two"].files] == ["two.tflite", "two_where.tflite"]
    with pytest.raises(ModelError, match=r"`two` compiled for the Edge TPU, .*two networks.*`classify\.backend: cpu`"):
        store.load_compiled("two", "classify")


def test_a_pair_has_nothing_compiled() -> None:
    compiled = EdgeTpuFile(file="two_edgetpu.tflite", sha256="2" * 64, compiler="16.0")
    with pytest.raises(ValidationError, match="expected no `edgetpu` beside `region`"):
        spec(edgetpu=compiled)


@given(x=st.floats(20, 500), y=st.floats(20, 300), side=st.floats(30, 200), place=st.tuples(*[st.floats(-1, 2)] * 2))
def test_places_in_a_crop_are_found_in_the_picture(x: float, y: float, side: float, place: tuple[float, float]) -> None:
    landmarks = face_at(x, y, side).landmarks
    (found, *_) = places_in_picture((Point(*place),) * 4, landmarks, CROP)
    back = eye_transform(landmarks, CROP, SIZE) @ (*found, 1.0)
    np.testing.assert_allclose((back[:2] + 0.5) / SIZE, place, atol=1e-6)


def test_the_region_of_the_whole_crop_is_what_was_cut_out() -> None:
    """A picture that is black but for the region gives a crop that is white."""
    landmarks = face_at(100, 60, 80).landmarks
    corners = places_in_picture(corners_of(IDENTITY), landmarks, CROP)
    picture = np.zeros((240, 320, 3), np.uint8)
    cv2.fillPoly(picture, [np.array(corners).round().astype(np.int32)], (255, 255, 255))
    crop = align(picture, landmarks, CROP, SIZE)
    assert crop[2:-2, 2:-2].min() == 255
    cv2.fillPoly(picture, [((np.array(corners) - 130) * 0.8 + 130).round().astype(np.int32)], (0, 0, 0))
    assert 0.25 < (align(picture, landmarks, CROP, SIZE) > 128).mean() < 0.6


def test_the_record_has_the_region_in_pixels() -> None:
    face = AlignedFace(Track(7, face_at(10, 20, 50)), a_face(), Quality(30, 0.01, 0, 0))
    last = Classification(Expression((1 / 7,) * 7), captured_ns=0, scene_ns=0, quality=face.quality)
    shown, corners = Smoothed(None, 1 / 7, None, "unsure"), (Point(1.26, 2), Point(3, 4), Point(5, 6), Point(7, 8))
    records = [
        to_dict(make_reading(faces=(classified_reading(face, last, shown, 0, region),)))["faces"][0]["region"]
        for region in (corners, None)
    ]
    assert records == [[[1.3, 2], [3, 4], [5, 6], [7, 8]], None]
