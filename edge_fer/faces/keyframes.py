"""Which frames are searched as a whole: the key frames.

Between key frames, faces are followed where they were. What could go unnoticed then is a face that
comes into view, so a small grey copy of each frame is compared with that of the last key frame: a change
outside the faces that are followed calls for a search, a change of everything is a cut. Where something always
changes and brings no face, as trees and a moving camera do, the next such search waits twice as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.settings import KeyframeSettings
from edge_fer.types import Box, Image

Why = Literal["cut", "no face", "lost", "change", "time"]

_SIDE = 48  # of the small copy, cells on the long side
_SAMPLES = 4  # pixels of a cell that are looked at, in each direction
_CUT = 18.0  # grey levels that a frame differs from the one before it, on average, after a cut
_CELLS = 2  # that differ: one alone is noise
_MARGIN = 0.8  # of a box's side, around it: where the movement of its head shows


class Keyframes:
    """Decides frame by frame."""

    def __init__(self, settings: KeyframeSettings) -> None:
        self._settings = settings
        self._searched_ns: int | None = None
        self._shape: tuple[int, ...] = ()
        self._searched: NDArray[np.float32] | None = None
        self._last: NDArray[np.float32] | None = None
        self._patience_ms, self._faces = settings.change_ms, 0

    def why(self, image: Image, scene_ns: int, expected: Iterable[Box], lost_ns: int | None) -> Why | None:
        """Why this frame should be searched; null where following is enough.

        Args:
            image: `(height, width, 3)` uint8, BGR.
            scene_ns: time of the frame in the scene; never earlier than the frame before.
            expected: where faces are followed, pixels of `image`.
            lost_ns: when the one of them was seen last that was lost last; null where all are in view.
        """
        small, cut = shrink(image), image.shape != self._shape
        last, self._last, self._shape = self._last, small, image.shape
        if last is None or cut or _difference(small, last).mean() > _CUT:
            why: Why | None = "cut"
        else:
            why = self._why(small, scene_ns, list(expected), lost_ns, image.shape[1] / small.shape[1])
        if why is not None:
            self._searched_ns, self._searched = scene_ns, small
        return why

    def _why(
        self, small: NDArray[np.float32], now_ns: int, expected: list[Box], lost_ns: int | None, cell: float
    ) -> Why | None:
        settings = self._settings
        if not expected:
            return "no face"
        assert self._searched_ns is not None
        assert self._searched is not None
        elapsed_ms = (now_ns - self._searched_ns) / 1e6
        if len(expected) != self._faces:
            self._patience_ms, self._faces = settings.change_ms, len(expected)
        if lost_ns is not None and now_ns - lost_ns <= settings.lost_ms * 1e6:
            return "lost"
        if elapsed_ms >= settings.every_ms:
            return "time"
        if elapsed_ms >= self._patience_ms and _changed(small, self._searched, expected, cell, settings.change):
            self._patience_ms = min(2 * self._patience_ms, settings.change_max_ms)
            return "change"
        return None


def shrink(image: Image) -> NDArray[np.float32]:
    """A grey copy of 48 cells on the long side, float32, 0..255; each is the mean of some 16 of its pixels."""
    height, width = image.shape[:2]
    ratio = _SIDE / max(height, width)
    size = (max(round(width * ratio), 1), max(round(height * ratio), 1))
    step = max(int(1 / ratio / _SAMPLES), 1)
    small = cv2.resize(image[::step, ::step], size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)


def _changed(
    small: NDArray[np.float32], before: NDArray[np.float32], expected: list[Box], cell: float, levels: float
) -> bool:
    """Whether something outside the faces differs by so many grey levels."""
    difference = _difference(small, before)
    for box in expected:
        margin_x, margin_y = box.width * _MARGIN, box.height * _MARGIN
        left, right = (int(x / cell) for x in (box.x - margin_x, box.x + box.width + margin_x))
        top, bottom = (int(y / cell) for y in (box.y - margin_y, box.y + box.height + margin_y))
        difference[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = 0
    return bool((difference > levels).sum() >= _CELLS)


def _difference(small: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey levels by which each cell differs, less what the light did to all of them."""
    difference = small - before
    return np.asarray(np.abs(difference - np.median(difference)), np.float32)
