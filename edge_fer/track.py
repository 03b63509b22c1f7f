"""Stable ids: which face of this frame is which of the frames before.

Each face goes to the track whose last box it overlaps most; what is left over starts a new
track. A track that is not seen for a while ends, and its id is never used again. A while is
both a time and a number of frames, so that a slow processor does not lose every face.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_fer.boxes import Boxes, overlap
from edge_fer.settings import TrackSettings
from edge_fer.types import Box, Face, Track


class _Sighting(NamedTuple):
    box: Box
    captured_ns: int
    frame: int


class Tracker:
    """Assigns ids from frame to frame."""

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._next_id = 1
        self._frame = 0
        self._last: dict[int, _Sighting] = {}

    def track(self, faces: Sequence[Face], captured_ns: int) -> tuple[Track, ...]:
        """Give each face its id.

        Args:
            faces: of one frame.
            captured_ns: when the frame was captured; never earlier than the frame before.

        Returns:
            One track a face, in order of id.
        """
        self._frame += 1
        self._last = {key: seen for key, seen in self._last.items() if self._lives(seen, captured_ns)}
        ids = self._assign([face.box for face in faces])
        for key, face in zip(ids, faces, strict=True):
            self._last[key] = _Sighting(face.box, captured_ns, self._frame)
        return tuple(sorted((Track(key, face) for key, face in zip(ids, faces, strict=True)), key=lambda t: t.id))

    def _lives(self, seen: _Sighting, now_ns: int) -> bool:
        recent = now_ns - seen.captured_ns <= self._settings.keep_ms * 1e6
        return recent or self._frame - seen.frame <= self._settings.keep_frames

    def _assign(self, boxes: Sequence[Box]) -> list[int]:
        """An id for each box: pairs of greatest overlap first, then new ids."""
        known = list(self._last)
        overlaps = overlap(_corners(boxes), _corners([self._last[key].box for key in known]))
        ids = [0] * len(boxes)
        while overlaps.size and overlaps.max() >= self._settings.overlap:
            row, column = divmod(int(overlaps.argmax()), overlaps.shape[1])
            ids[row] = known[column]
            overlaps[row, :] = 0
            overlaps[:, column] = 0
        for row, key in enumerate(ids):
            if key == 0:
                ids[row] = self._next_id
                self._next_id += 1
        return ids


def _corners(boxes: Sequence[Box]) -> Boxes:
    corners = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]
    return np.array(corners, dtype=np.float32).reshape(-1, 4)
