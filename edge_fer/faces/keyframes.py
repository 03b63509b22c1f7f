"""Which frames are searched as a whole: the key frames.

Between key frames, faces are followed near the place where they were. A face that comes into view would be missed, so
a small grey copy of each frame is compared with that of the last key frame: a change outside the faces that are
followed leads to a search, and a change of the whole frame is a cut. Where changes never bring a new face, as with
trees or a moving camera, the next search because of a change waits twice as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.settings import KeyframeSettings
from edge_fer.types import Box, Image

SearchReason = Literal["cut", "no face", "lost", "change", "time"]
"""A cut; no face is followed; a face was lost; something changed; the last search was long ago."""

_SIDE = 48  # cells on the long side of the small copy
_SAMPLES = 4  # pixels that are read of each cell, in each direction
_CUT = 18.0  # mean difference from the frame before that is a cut, grey levels
_CELLS = 2  # least number of cells that differ in a change: one alone is noise
_MARGIN = 0.8  # margin around a box that is left out, part of its side: there the head's own movement shows


class Keyframes:
    """Decides frame by frame whether the whole frame is searched.

    Args:
        settings: how often frames are searched, and for what changes.
    """

    def __init__(self, settings: KeyframeSettings) -> None:
        self._settings = settings
        self._searched_ns: int | None = None
        self._before_ns: int | None = None
        self._shape: tuple[int, ...] = ()
        self._searched: NDArray[np.float32] | None = None
        self._last: NDArray[np.float32] | None = None
        self._change_pause_ms, self._faces = settings.change_ms, 0

    def search_reason(
        self, image: Image, scene_ns: int, expected: Iterable[Box], lost_ns: int | None
    ) -> SearchReason | None:
        """Why this frame should be searched; None where following is enough.

        Args:
            image: `(height, width, 3)` uint8, BGR.
            scene_ns: time of the frame in the scene, nanoseconds; never earlier than the frame before.
            expected: where faces are followed, pixels of `image`.
            lost_ns: of the faces that were lost, when the last one was found, scene time in nanoseconds; None where
                no face was lost.
        """
        small, cut = shrink(image), image.shape != self._shape
        last, self._last, self._shape = self._last, small, image.shape
        if last is None or cut or is_cut(small, last):
            reason: SearchReason | None = "cut"
        else:
            reason = self._reason_within_scene(
                small, scene_ns, list(expected), lost_ns, image.shape[1] / small.shape[1]
            )
        if reason is not None:
            self._searched_ns, self._searched = scene_ns, small
        if self.begins_period(scene_ns):
            self._change_pause_ms = self._settings.change_ms
        self._before_ns = scene_ns
        return reason

    def begins_period(self, scene_ns: int) -> bool:
        """Whether the next frame is the first one of a period, which `aligned` always searches; never without that.

        From there on nothing should depend on what was before.

        Args:
            scene_ns: time of that frame in the scene, nanoseconds.
        """
        before_ns = self._before_ns
        return (
            self._settings.aligned
            and before_ns is not None
            and _period(before_ns, self._settings) != _period(scene_ns, self._settings)
        )

    def _reason_within_scene(
        self, small: NDArray[np.float32], now_ns: int, expected: list[Box], lost_ns: int | None, cell: float
    ) -> SearchReason | None:
        settings = self._settings
        if not expected:
            return "no face"
        assert self._searched_ns is not None
        assert self._searched is not None
        elapsed_ms = (now_ns - self._searched_ns) / 1e6
        if len(expected) != self._faces:
            self._change_pause_ms, self._faces = settings.change_ms, len(expected)
        if lost_ns is not None and now_ns - lost_ns <= settings.lost_ms * 1e6:
            return "lost"
        if _is_due(self._searched_ns, now_ns, settings):
            return "time"
        if elapsed_ms >= self._change_pause_ms and _changed(small, self._searched, expected, cell, settings.change):
            self._change_pause_ms = min(2 * self._change_pause_ms, settings.change_max_ms)
            return "change"
        return None


def _is_due(searched_ns: int, now_ns: int, settings: KeyframeSettings) -> bool:
    """Whether the last search was long ago, or with `aligned`, in an earlier period of the scene's time."""
    if settings.aligned:
        return _period(searched_ns, settings) != _period(now_ns, settings)
    return now_ns - searched_ns >= settings.every_ms * 1e6


def _period(scene_ns: int, settings: KeyframeSettings) -> float:
    """The period that a time is in; every time is one of its own where all frames are searched."""
    return scene_ns // (settings.every_ms * 1e6) if settings.every_ms else scene_ns


def shrink(image: Image) -> NDArray[np.float32]:
    """A small grey copy.

    Args:
        image: `(height, width, 3)` uint8, BGR.

    Returns:
        `(rows, columns)` float32, 0..255, 48 cells on the long side; each is the mean of about 16 of its pixels.
    """
    height, width = image.shape[:2]
    ratio = _SIDE / max(height, width)
    size = (max(round(width * ratio), 1), max(round(height * ratio), 1))
    step = max(int(1 / ratio / _SAMPLES), 1)
    small = cv2.resize(image[::step, ::step], size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)


def is_cut(small: NDArray[np.float32], before: NDArray[np.float32]) -> bool:
    """Whether a picture shows another scene than the one before it.

    Args:
        small: `(rows, columns)` float32, 0..255: what `shrink` made of it.
        before: the same of the one before, of the same shape.
    """
    return bool(_difference(small, before).mean() > _CUT)


def _changed(
    small: NDArray[np.float32], before: NDArray[np.float32], expected: list[Box], cell: float, levels: float
) -> bool:
    """Whether cells outside the faces differ by more than `levels` grey levels; `cell` is a cell's side in pixels."""
    difference = _difference(small, before)
    for box in expected:
        margin_x, margin_y = box.width * _MARGIN, box.height * _MARGIN
        left, right = (int(x / cell) for x in (box.x - margin_x, box.x + box.width + margin_x))
        top, bottom = (int(y / cell) for y in (box.y - margin_y, box.y + box.height + margin_y))
        difference[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = 0
    return bool((difference > levels).sum() >= _CELLS)


def _difference(small: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how many grey levels each cell differs, without the change of light that all cells have in common."""
    difference = small - before
    return np.asarray(np.abs(difference - np.median(difference)), np.float32)
