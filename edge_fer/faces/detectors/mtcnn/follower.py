"""Faces followed from frame to frame: O-Net alone, at the place where each face should be by now.

Most of MTCNN's time goes into the search of the whole picture (P-Net). Where a face was a moment ago is known, and the
last of the three networks gives a new score, box and landmarks there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from edge_fer.common.closeable import Closeable
from edge_fer.faces.boxes import Boxes, clip, corners_of
from edge_fer.faces.coordinates import to_faces
from edge_fer.faces.detectors.mtcnn.files import open_output_net
from edge_fer.faces.detectors.mtcnn.networks import OutputNet
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import DetectSettings, TrackSettings
from edge_fer.types import Box, Face, Image

Key = TypeVar("Key")


def open_follower(settings: DetectSettings, track: TrackSettings, store: ModelStore) -> MtcnnFollower:
    """Load O-Net, in the precision that the settings ask for; see `edge_fer.faces.detectors`."""
    # One face takes half a millisecond: a second thread would cost more than it gives.
    return MtcnnFollower(open_output_net(settings, store, 1, track.score))


class MtcnnFollower(Closeable):
    """Finds faces near where they are expected.

    Args:
        net: O-Net, with the least score of a face that is followed.
    """

    def __init__(self, net: OutputNet) -> None:
        self._net = net

    def follow(self, image: Image, expected: Mapping[Key, Box]) -> dict[Key, Face]:
        """Find each face near its place.

        Args:
            image: `(height, width, 3)` uint8, BGR.
            expected: where each face should be by now, pixels of `image`.

        Returns:
            The faces that were found, by the same keys, in pixels of `image`.

        Raises:
            BackendError: when the network fails.
        """
        if not expected:
            return {}
        boxes = snug(corners_of(list(expected.values())))
        rows, boxes, scores, landmarks = self._net.follow(image, boxes)
        faces = to_faces(clip(boxes, image.shape[1], image.shape[0]), scores, landmarks)
        keys = list(expected)
        return {keys[row]: face for row, face in zip(rows.tolist(), faces, strict=True)}

    def close(self) -> None:
        """Free the network."""
        self._net.close()


def snug(boxes: Boxes) -> Boxes:
    """Squares with the boxes' centres, as wide as the mean of their sides, `(n, 4)` float32.

    O-Net's boxes are taller than its input: over the short clip that the reference faces come from, 97 % of
    the faces of one frame score above 0.9 in the next one so, and 90 % in squares as wide as their longer side.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1, keepdims=True) / 2
    return np.hstack([centres - halves, centres + halves])
