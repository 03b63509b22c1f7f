"""Recordings made to order, and read back with PyAV."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.error import InvalidDataError

from edge_fer.publish.recording import Recording
from edge_fer.schema import Reading
from edge_fer.settings import PublishSettings
from edge_fer.types import Image
from tests.support.records import make_reading
from tests.support.waiting import Clock

PICTURE = np.full((120, 160, 3), 90, np.uint8)


def opened(folder: Path, name: str = "out.mkv", **settings: Any) -> Recording:
    now = settings.pop("now", lambda: datetime(2026, 1, 2, 3, 4, 5))
    clock = settings.pop("clock", Clock())
    return Recording(PublishSettings(record=f"{folder}/{name}", **settings), now=now, clock=clock)


def at(position_ms: float, frame: int = 1) -> Reading:
    """A reading of a film's picture."""
    return replace(make_reading(frame), source_file="clip.mp4", position_ms=position_ms)


def taken(seconds: float) -> Reading:
    """A reading of a camera's picture."""
    return make_reading(captured_ns=round((1000 + seconds) * 1e9))


def record(sink: Recording, *readings: Reading, picture: np.ndarray = PICTURE) -> None:
    for reading in readings:
        sink.publish(reading, picture)


class Shown(NamedTuple):
    """One picture of a film: when it is shown, seconds, and `(height, width, 3)` uint8, BGR."""

    at_s: float
    picture: Image


def shown(path: Path) -> list[Shown]:
    """The pictures of a film, in order; of one that is cut off, those before."""
    found = []
    with path.open("rb") as file, av.open(file) as film, suppress(InvalidDataError):
        for frame in film.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            picture = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
            found.append(Shown(float(frame.pts * frame.time_base), picture))
    return found


def times(path: Path) -> list[float]:
    """When the pictures of a film are shown, seconds."""
    return [one.at_s for one in shown(path)]
