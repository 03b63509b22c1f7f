"""Pictures of tracks: the frames in a row, under each how much it counts, spoiled ones marked."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_fer.lab.datasets.pictures import resize
from edge_fer.types import Image

_SIDE, _BARS, _TEXT = 80, 60, 22  # pixels
_CLEAN, _SPOILED, _INK = (150, 120, 60), (60, 60, 200), (40, 40, 40)  # BGR


def draw_strip(
    frames: Sequence[Image], weights: NDArray[np.floating], spoiled: NDArray[np.bool_], caption: str
) -> Image:
    """A track as `(height, width, 3)` uint8, BGR; the highest bar is the frame that counts most.

    Args:
        frames: grey or BGR.
        weights: `(n,)`, summing to 1.
        spoiled: `(n,)`; the bars of these are red.
        caption: a line of text above.
    """
    strip = np.full((_TEXT + _SIDE + _BARS, _SIDE * len(frames), 3), 255, np.uint8)
    cv2.putText(strip, caption, (4, _TEXT - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    for place, (frame, weight) in enumerate(zip(frames, weights.tolist(), strict=True)):
        left, face = place * _SIDE, resize(frame, _SIDE)
        strip[_TEXT : _TEXT + _SIDE, left : left + _SIDE] = face if face.ndim == 3 else face[..., None]
        height = round(weight / float(weights.max()) * (_BARS - 4))
        colour = _SPOILED if spoiled[place] else _CLEAN
        cv2.rectangle(strip, (left + 8, len(strip) - 1 - height), (left + _SIDE - 8, len(strip) - 1), colour, -1)
    return strip
