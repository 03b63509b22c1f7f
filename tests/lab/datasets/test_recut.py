"""Crops in one file: as they are, and beside them as the runtime cuts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_fer.errors import OutputError, SourceError
from edge_fer.faces.detectors import open_detector
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import silent
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.datasets.recut import recut
from edge_fer.settings import DetectSettings
from tests.lab.datasets.test_crop_faces import invoke
from tests.lab.support.portraits import portrait_crop

pytestmark = pytest.mark.lab

CROP = CropSpec(eye_distance=0.3, eye_y=0.37, detail=40)


def written(path: Path, *faces: np.ndarray) -> Path:
    votes = np.zeros((len(faces), 10), np.uint8)
    votes[:, 1] = 8
    np.savez(path, x=np.stack(faces), votes=votes, usage=np.arange(len(faces), dtype=np.uint8) % 3)
    return path


def test_faces_are_found_and_cut_with_their_eyes_level() -> None:
    face, wall = portrait_crop(), np.full((48, 48), 90, np.uint8)
    with open_detector(DetectSettings(), ModelStore()) as detector:
        cut, found = recut(np.stack([face, wall]), detector, CROP, silent)
    assert found.tolist() == [True, False]
    assert cut.shape == (2, 40, 40)
    assert not cut[1].any()
    eyes = cut[0, 10:20, 8:32].astype(float)
    assert eyes.min() < cut[0].mean() - 20


def test_a_file_holds_both_kinds_and_no_test_faces(tmp_path: Path) -> None:
    face, wall = portrait_crop(), np.full((48, 48), 90, np.uint8)
    source = written(tmp_path / "faces.npz", face, face, face, wall)
    said = invoke(source, tmp_path / "cut.npz", "--detail", "40").output
    assert "3 faces as they are and 2 as the runtime cuts them, 40 pixels" in said
    with np.load(tmp_path / "cut.npz") as arrays:
        assert arrays["cut"].tolist() == [0, 0, 0, 1, 1]
    dataset = open_dataset(tmp_path / "cut.npz")
    assert dataset.images[0].shape == (40, 40)
    training, validation = Split.TRAINING, Split.VALIDATION
    assert dataset.splits.tolist() == [training, validation, training, training, validation]


def test_wrong_files_are_named(tmp_path: Path) -> None:
    wall = np.full((48, 48), 90, np.uint8)
    source = written(tmp_path / "walls.npz", wall, wall)
    with pytest.raises(OutputError, match=r"expected another \.npz file for the faces of .*walls\.npz, found"):
        invoke(source, source)
    with pytest.raises(SourceError, match=r"expected faces that the detector finds in .*walls\.npz, found none in 2"):
        invoke(source, tmp_path / "cut.npz")
    with pytest.raises(
        SourceError, match=r"expected FER\+ faces \(\.npz with x, votes, usage\) at .*missing\.npz, found: No such file"
    ):
        invoke(tmp_path / "missing.npz", tmp_path / "cut.npz")
