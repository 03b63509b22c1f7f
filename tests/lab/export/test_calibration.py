from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_fer.errors import SourceError
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.datasets.dataset import Dataset, Split, hard
from edge_fer.lab.export.calibration import FEWEST, calibration_faces, coloured
from edge_fer.types import Image
from tests.lab.support.portraits import portrait_crop

CROP = CropSpec(eye_distance=0.3, eye_y=0.37, detail=64)


def dataset(images: list[Image], validation: int = 0) -> Dataset:
    usage = np.full(len(images), Split.TRAINING, np.uint8)
    usage[len(images) - validation :] = Split.VALIDATION
    return hard("faces", np.stack(images), np.zeros(len(images), np.int64), usage, {})


@pytest.fixture
def portraits() -> Dataset:
    """Three crops of a portrait and one without a face to train on, and one face of another split."""
    face, nobody = portrait_crop(), np.full((48, 48), 90, np.uint8)
    return dataset([face, face, nobody, face, face], validation=1)


def test_calibration_faces_went_through_detector_and_alignment(portraits: Dataset) -> None:
    faces = calibration_faces(portraits, ModelStore(), CROP, count=3, size=64, seed=0)
    assert faces.shape == (3, 64, 64)
    assert faces.dtype == np.uint8
    np.testing.assert_array_equal(faces, calibration_faces(portraits, ModelStore(), CROP, count=3, size=64, seed=0))


def test_too_few_faces_are_an_error(portraits: Dataset) -> None:
    with pytest.raises(
        SourceError, match=r"at least 4 training faces in faces .* found 3 that the detector finds; add"
    ):
        calibration_faces(portraits, ModelStore(), CROP, count=4, size=64, seed=0)


def flat(count: int) -> Dataset:
    """Faces that no detector would find, told apart by their grey value."""
    return replace(dataset([np.full((24, 24), value, np.uint8) for value in range(count)], validation=1), crop=CROP)


def test_faces_that_were_cut_already_are_used_as_they_are() -> None:
    told: list[tuple[int, int]] = []
    faces = calibration_faces(
        flat(41),
        ModelStore(),
        CROP,
        count=100,
        size=32,
        seed=0,
        progress=lambda done, total: told.append((done, total)),
    )
    assert faces.shape == (40, 32, 32)
    assert sorted(faces[:, 0, 0].tolist()) == list(range(40))
    assert told[-1] == (40, 40)
    fewer = calibration_faces(flat(41), ModelStore(), CROP, count=5, size=24, seed=0)
    np.testing.assert_array_equal(fewer[:, 0, 0], faces[:5, 0, 0])


def test_a_handful_of_faces_is_not_enough() -> None:
    with pytest.raises(SourceError, match=rf"at least {FEWEST} training faces in faces .* found 31; add photos"):
        calibration_faces(flat(32), ModelStore(), CROP, count=512, size=32, seed=0)


def test_faces_that_were_cut_in_another_way_are_refused() -> None:
    other = CROP.model_copy(update={"detail": 112})
    with pytest.raises(SourceError, match=r"takes them \(.*detail=112\), found .*detail=64; cut them again"):
        calibration_faces(flat(41), ModelStore(), other, count=5, size=32, seed=0)


def test_faces_with_any_colour_are_counted() -> None:
    faces = np.full((4, 8, 8, 3), 100, np.uint8)
    faces[0, 3, 3] = (100, 108, 100)  # as far as compression may round
    faces[1, 3, 3] = (100, 109, 100)
    faces[2, ..., 0] = 200
    assert coloured(faces) == 2
    assert coloured(faces[..., 0]) is None
