"""The pictures of recordings and clips, each with its time, as the runtime decodes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from edge_fer.capture.sources.video import Video
from edge_fer.errors import SourceError
from edge_fer.types import Image

_VARIABLE = 1.5  # times the median step, beyond which a film has no constant rate


def open_film(path: Path, tell: Callable[[str], None]) -> closing[Video]:
    """Open a film, as a context.

    Args:
        path: the film.
        tell: receives a line where something is not as it should be.

    Raises:
        SourceError: when it cannot be read.
    """
    return closing(Video(path, warn=tell))


def frames_of(video: Video, tell: Callable[[str], None]) -> Iterator[tuple[Image, float]]:
    """The pictures of a recording, with their presentation times in it, milliseconds.

    One that breaks off is read up to there, and that is told.
    """
    try:
        while (frame := video.read()) is not None:
            yield frame.image, (frame.position_ns or 0) / 1e6
    except SourceError as error:
        tell(str(error))


def is_variable(steps_ms: Sequence[float]) -> bool:
    """Whether the time from frame to frame varies.

    Args:
        steps_ms: these times, milliseconds.
    """
    return len(steps_ms) > 0 and max(steps_ms) > _VARIABLE * float(np.median(steps_ms))
