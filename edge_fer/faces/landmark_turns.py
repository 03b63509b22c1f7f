"""Landmarks by turns: so many faces are measured a frame, however many there are.

    a face that was never measured      measured at once
    the one measured longest ago        measured, one a frame
    every other one                     keeps its landmarks, at the same places of its box

For faces that a search has found and read in one pass, landmarks tell how a head is turned, and where to cut it out to
see how good its picture is. Both change slowly beside the expression. With n faces in view each is measured again after
n frames at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_fer.common.closeable import Closeable
from edge_fer.faces.detectors import Follower
from edge_fer.types import Box, Face, Image, Landmarks, Point, Track


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a face's last turn gave.

    Attributes:
        landmarks: pixels.
        box: of the face in that frame, pixels.
        scene_ns: time of that frame in the scene, nanoseconds.
    """

    landmarks: Landmarks
    box: Box
    scene_ns: int


class LandmarkTurns(Closeable):
    """Gives the faces of frame after frame their landmarks.

    Args:
        network: finds the landmarks in boxes, whatever they show; closed with this.
    """

    def __init__(self, network: Follower) -> None:
        self._network = network
        self._last: dict[int, _Measured] = {}  # the one measured longest ago first

    def measure(self, image: Image, tracks: Sequence[Track], scene_ns: int) -> tuple[Track, ...]:
        """Measure the landmarks of those whose turn it is, and move those of the others with their boxes.

        Args:
            image: `(height, width, 3)` uint8, BGR.
            tracks: the faces of the picture, in its pixels; their landmarks do not count.
            scene_ns: time of the picture in the scene, nanoseconds; never earlier than the one before.

        Returns:
            The same faces in the same order, each with landmarks, and how far these lag behind.

        Raises:
            BackendError: when the network fails.
        """
        boxes = {track.id: track.face.box for track in tracks}
        due = [key for key in boxes if key not in self._last]
        due += [key for key in self._last if key in boxes][:1]
        for key, face in self._network.follow(image, {key: boxes[key] for key in due}).items():
            self._last.pop(key, None)  # the last one measured comes last
            self._last[key] = _Measured(face.landmarks, boxes[key], scene_ns)
        return tuple(Track(track.id, _moved(track.face, self._last[track.id], scene_ns)) for track in tracks)

    def keep(self, ids: Iterable[int]) -> None:
        """Forget all faces but these."""
        kept = set(ids)
        self._last = {key: measured for key, measured in self._last.items() if key in kept}

    def close(self) -> None:
        """Free the network."""
        self._network.close()


def _moved(face: Face, measured: _Measured, scene_ns: int) -> Face:
    """A face with the landmarks of its last turn, moved and scaled as its box was since then."""
    if measured.box == face.box:
        landmarks = measured.landmarks
    else:
        old, box = measured.box, face.box
        grown_x, grown_y = box.width / (old.width or 1), box.height / (old.height or 1)
        landmarks = Landmarks(
            *[Point(box.x + (x - old.x) * grown_x, box.y + (y - old.y) * grown_y) for x, y in measured.landmarks.points]
        )
    return Face(face.box, face.score, landmarks, face.expression, scene_ns - measured.scene_ns)
