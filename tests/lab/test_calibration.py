from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_fer.errors import SourceError
from edge_fer.lab.calibration import calibration_faces
from edge_fer.models import CropSpec, ModelStore
from tests.lab.portraits import portrait_crop

CROP = CropSpec(eye_distance=0.3, eye_y=0.37, detail=64)
NEUTRAL = 0


@pytest.fixture
def ferplus(tmp_path: Path) -> Path:
    """Three crops of a portrait and one without a face, all called neutral; and one face of another split."""
    portraits = (portrait_crop(), np.full((48, 48), 90, np.uint8))
    votes = np.zeros((5, 10), np.uint8)
    votes[:, NEUTRAL] = 10
    path = tmp_path / "faces.npz"
    np.savez(path, x=np.stack([portraits[index] for index in (0, 0, 1, 0, 0)]), votes=votes, usage=[0, 0, 0, 0, 1])
    return path


def test_calibration_faces_went_through_detector_and_alignment(ferplus: Path) -> None:
    faces = calibration_faces(ferplus, ModelStore(), CROP, count=3, size=64, seed=0)
    assert faces.shape == (3, 64, 64)
    assert faces.dtype == np.uint8
    np.testing.assert_array_equal(faces, calibration_faces(ferplus, ModelStore(), CROP, count=3, size=64, seed=0))


def test_too_few_faces_are_an_error(ferplus: Path) -> None:
    with pytest.raises(SourceError, match=r"expected 4 faces .* found 3; ask for fewer"):
        calibration_faces(ferplus, ModelStore(), CROP, count=4, size=64, seed=0)
