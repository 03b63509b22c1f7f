"""Hand-made features against dlib and scikit-image, and their landmarks in a file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.errors import ConfigError, SourceError
from edge_fer.expression.face_features import face_features, hog
from edge_fer.lab.datasets.dataset import Dataset, Split, hard
from edge_fer.lab.datasets.landmarks import (
    feature_statistics,
    find_landmarks,
    hand_made,
    save_landmarks,
    with_landmarks,
)
from edge_fer.types import Image
from tests.lab.support.portraits import portrait_crop

pytestmark = pytest.mark.lab

SIDES = (24, 24, 24, 24, 24, 18, 12, 6)
"""Of EmoNet's windows, every 6 pixels of 48."""


def faces(count: int) -> list[Image]:
    """One face, turned, enlarged and with noise; the last two are noise alone, which meets every orientation."""
    rng, face = np.random.default_rng(0), portrait_crop()
    varied = []
    for _ in range(count - 2):
        turn = cv2.getRotationMatrix2D((24, 24), float(rng.uniform(-30, 30)), float(rng.uniform(0.8, 1.5)))
        turned = cv2.warpAffine(cv2.resize(face, (48, 48)), turn, (48, 48), borderMode=cv2.BORDER_REPLICATE)
        varied.append(np.clip(turned + rng.normal(0, 4, (48, 48)), 0, 255).astype(np.uint8))
    return [*varied, *rng.integers(0, 256, (2, 48, 48), np.uint8)]


def reference_hog(face: Image) -> list[np.ndarray]:
    """scikit-image's, a window at a time."""
    from skimage.feature import hog as reference

    windows = [face[y : y + 24, x : x + 24] for y in range(0, 48, 6) for x in range(0, 48, 6)]
    return [
        reference(window, orientations=8, pixels_per_cell=(8, 8), cells_per_block=(1, 1), block_norm="L1")
        for window in windows
        if min(window.shape) >= 8
    ]


def test_hog_equals_scikit_image_window_by_window() -> None:
    for face in faces(20):
        expected = reference_hog(face)
        found = np.split(hog(face), np.cumsum([len(window) for window in expected])[:-1])
        cells = [(high // 8) * (wide // 8) for high in SIDES for wide in SIDES if min(high, wide) >= 8]
        assert [len(window) for window in found] == [8 * count for count in cells]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_whole_vector_equals_dlib_and_scikit_image() -> None:
    dlib = pytest.importorskip("dlib", reason="extra `landmarks`")
    from edge_fer.lab.datasets.dlib_landmarks import open_dlib, weights_file

    find, predictor = open_dlib(), dlib.shape_predictor(str(weights_file()))
    for face in faces(20):
        shape = predictor(face, dlib.rectangle(1, 1, 47, 47))
        points = [value for number in range(68) for value in (shape.part(number).x, shape.part(number).y)]
        expected = np.concatenate([points, *reference_hog(face)])
        np.testing.assert_allclose(face_features(face, find(face)), expected, atol=1e-6)


def dataset(count: int = 8) -> Dataset:
    labels = np.arange(count) % 7
    splits = np.array([Split.TEST, *[Split.TRAINING] * (count - 2), Split.VALIDATION], np.uint8)
    return hard("made", np.stack(faces(count)), labels, splits, {})


def centred(face: Image) -> np.ndarray:
    return np.full((68, 2), face.mean() / 10)


def test_landmarks_come_back_from_their_file_but_for_test_faces(tmp_path: Path) -> None:
    data = dataset()
    points = find_landmarks(data, centred)
    assert np.isnan(points[0]).all(), "test faces are not looked at"
    save_landmarks(tmp_path / "points.npz", data, points, "a test")
    known = with_landmarks(data, tmp_path / "points.npz")
    some = known.take(np.array([3, 1]))
    features = hand_made(some, [0, 1])
    np.testing.assert_array_equal(features[0], face_features(data.images[3], points[3]))
    np.testing.assert_array_equal(features[1], face_features(data.images[1], points[1]))
    with pytest.raises(SourceError, match="expected landmarks of face 0 of made, found none"):
        hand_made(known, [0])
    with pytest.raises(SourceError, match="give --landmarks"):
        hand_made(data, [1])


def test_landmarks_of_other_faces_are_refused(tmp_path: Path) -> None:
    data, path = dataset(), tmp_path / "points.npz"
    save_landmarks(path, data, find_landmarks(data, centred), "a test")
    images = np.array(data.images)
    images[1] += 1
    for other in (dataset(9), replace(data, labels=data.labels[::-1].copy()), replace(data, images=images)):
        with pytest.raises(SourceError, match=r"expected landmarks of made in .*, found those of other faces"):
            with_landmarks(other, path)
    np.savez(path, points=np.zeros((8, 5, 2)), data="x")
    with pytest.raises(SourceError, match="found points of shape"):
        with_landmarks(data, path)
    path.write_bytes(b"no file of numpy")
    with pytest.raises(SourceError, match="expected what `edge-fer lab landmarks` writes"):
        with_landmarks(data, path)
    with pytest.raises(SourceError, match="No such file"):
        with_landmarks(data, tmp_path / "none.npz")


def test_statistics_are_those_of_the_features() -> None:
    data = dataset().only(Split.TRAINING)
    data = replace(data, landmarks=find_landmarks(data, centred))
    mean, std = feature_statistics(data)
    rows = hand_made(data, range(len(data))).astype(np.float64)
    np.testing.assert_allclose(mean, rows.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(std, np.maximum(rows.std(axis=0), 1e-3), rtol=1e-3, atol=1e-5)


def test_without_dlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_fer.lab.datasets import dlib_landmarks

    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(ConfigError, match=r"expected dlib, found none .*; pip install '\.\[landmarks\]'"):
        dlib_landmarks.open_dlib()
    monkeypatch.setattr(dlib_landmarks, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="expected dlib's landmarks"):
        dlib_landmarks.weights_file()
