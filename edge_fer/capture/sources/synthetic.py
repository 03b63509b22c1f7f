"""Drawn frames with a known number of faces: `synthetic:4`."""

from __future__ import annotations

import re
import time

from edge_fer.capture.sources import SourceFrame
from edge_fer.errors import SourceError
from edge_fer.synthetic.scenes import crowd_scene

_SIZE = (600, 600)
_FRAMES = 90
_FPS = 30.0
_SEED = 1


class Synthetic:
    """A crowd that stays in view, 600x600 pixels, three seconds long.

    Args:
        name: `synthetic:` and how many faces, 0 to 99.

    Raises:
        SourceError: when the name has another form.
    """

    live = False
    fps: float | None = _FPS
    skipped = 0

    def __init__(self, name: str) -> None:
        match = re.fullmatch(r"synthetic:(\d{1,2})", name)
        if match is None:
            raise SourceError(f"expected `synthetic:` and how many faces, 0 to 99, found {name!r}; try synthetic:1")
        self.name = name
        self._scene = crowd_scene(_SEED, int(match[1]), _FRAMES, _SIZE)
        self._next = 0

    def read(self) -> SourceFrame | None:
        """Draw the next frame; see `edge_fer.capture.sources.Source.read`."""
        if self._next == self._scene.frames:
            return None
        image, position_ns = self._scene.render(self._next), round(self._next * 1e9 / _FPS)
        self._next += 1
        return SourceFrame(image, time.monotonic_ns(), position_ns)

    def close(self) -> None:
        """Do nothing: nothing is held open."""
