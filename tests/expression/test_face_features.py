"""Hand-made features: their places, and that they are of the face and nothing else."""

from __future__ import annotations

import numpy as np

from edge_fer.expression.face_features import FEATURES, face_features, hog, small_face


def test_the_features_are_136_coordinates_and_2592_of_hog() -> None:
    face, points = np.zeros((48, 48), np.uint8), np.arange(136.0).reshape(68, 2)
    features = face_features(face, points)
    assert features.shape == (FEATURES,) == (136 + 2592,)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[:136], np.arange(136))
    assert not features[136:].any(), "a face without edges has no gradients"


def test_an_edge_is_in_the_cells_that_it_crosses_and_in_its_orientation() -> None:
    face = np.zeros((48, 48), np.uint8)
    face[:, 4:] = 200
    windows = hog(face).reshape(-1, 8)  # cells; the first window has 3x3 of them
    first = windows[:9].reshape(3, 3, 8)
    np.testing.assert_allclose(first[:, 0, 0], 1, atol=1e-6)  # a gradient to the right, in the left column of cells
    assert not first[:, 1:].any()
    np.testing.assert_array_equal(hog(face.T.copy()).reshape(-1, 8)[:9].reshape(3, 3, 8)[0, :, 4].round(6), 1)


def test_the_border_of_a_window_has_no_gradient_across_it() -> None:
    face = np.zeros((48, 48), np.uint8)
    face[:, 6:] = 200  # between the last column before the second window and its first one
    second = hog(face).reshape(-1, 8)[9:18]
    assert not second.any()


def test_any_face_becomes_48_pixels_of_grey() -> None:
    small = np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)
    assert small_face(small) is small
    for side in (32, 112):
        grey = small_face(np.full((side, side, 3), 100, np.uint8))
        assert grey.shape == (48, 48)
        assert (grey == 100).all()
