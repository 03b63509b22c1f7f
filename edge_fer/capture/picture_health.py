"""What a camera's pictures tell of the camera: whether it is frozen, and whether it sees anything.

Looked at are some 5000 pixels of each frame: about 0.05 ms.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from edge_fer.settings import CaptureSettings
from edge_fer.types import Image

Blind = Literal["black", "white"]

_SAMPLES = 4800  # pixels that are looked at
_SHARE = 0.99  # of them, that are black or white


class PictureHealth:
    """Judges the pictures of a live source, one after the other.

    A picture of one grey, or all black or white, is never frozen: some cameras give no noise there.

    Args:
        settings: see `capture.frozen_s`, `blind_s`, `black` and `white`.

    Attributes:
        blind: what all the picture is, once that has lasted; null while something is seen.
        alive: whether the last picture differs from the one before it, or has nothing that could.
    """

    def __init__(self, settings: CaptureSettings) -> None:
        self._settings = settings
        self._last = b""
        self._changed_ns = self._still_ns = 0
        self._seen: Blind | None = None
        self._seen_ns = 0
        self.blind: Blind | None = None
        self.alive = False

    def look(self, image: Image, captured_ns: int) -> None:
        """Judge a picture, captured at a moment of CLOCK_MONOTONIC."""
        step = max(1, math.isqrt(image.shape[0] * image.shape[1] // _SAMPLES))
        sample = np.ascontiguousarray(image[::step, ::step])
        blue, green, red = sample[:, :, 0], sample[:, :, 1], sample[:, :, 2]
        brightest = np.maximum(np.maximum(blue, green), red)
        darkest = np.minimum(np.minimum(blue, green), red)
        seen: Blind | None = None
        if (brightest <= self._settings.black).mean() >= _SHARE:
            seen = "black"
        elif (darkest >= self._settings.white).mean() >= _SHARE:
            seen = "white"
        self._judge_sight(seen, captured_ns)
        content, before = sample.tobytes(), self._last
        flat = seen is not None or int(brightest.max()) == int(darkest.min())
        self.alive = flat or before not in (b"", content)
        if self.alive or not before:
            self._last, self._changed_ns = content, captured_ns
        self._still_ns = captured_ns - self._changed_ns

    @property
    def frozen(self) -> bool:
        """Whether the picture has been the same for too long."""
        limit = self._settings.frozen_s
        return limit is not None and self._still_ns >= limit * 1e9

    def _judge_sight(self, seen: Blind | None, now_ns: int) -> None:
        """A change counts once it has lasted."""
        if seen != self._seen:
            self._seen, self._seen_ns = seen, now_ns
        limit = self._settings.blind_s
        if limit is not None and now_ns - self._seen_ns >= limit * 1e9:
            self.blind = seen
