"""Recordings made to order: each frame has its number drawn in, so that it can be told which one is seen."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edge_fer.capture.sources.video import Video
from edge_fer.lab.clips.sound import RATE
from edge_fer.types import Image

HEIGHT, WIDTH, _BITS, _CELL = 64, 128, 10, 12


def numbered(number: int, left: int = 0, top: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Image:
    """A grey picture `(height, width, 3)` uint8 with a number in it, as black and white squares."""
    image = np.full((*size, 3), 110, np.uint8)
    for bit in range(_BITS):
        x = left + bit * _CELL
        image[top : top + _CELL, x : x + _CELL] = 255 if number >> bit & 1 else 0
    return image


def number_in(image: Image, left: int = 0, top: int = 0) -> int:
    """The number that `numbered` drew, whatever a film's losses."""
    middle = _CELL // 2
    cells = [image[top + middle, left + bit * _CELL + middle] for bit in range(_BITS)]
    return sum((int(np.mean(cell)) > 127) << bit for bit, cell in enumerate(cells))


def write_recording(
    path: Path,
    pictures: Sequence[Image],
    *,
    times_ms: Sequence[float] | None = None,
    sound: NDArray[np.int16] | None = None,
) -> Path:
    """A film, H.264 and AAC.

    Args:
        path: the file.
        pictures: its frames, each `(height, width, 3)` uint8, BGR.
        times_ms: when each is shown, milliseconds; None: 25 a second.
        sound: `(n,)` int16, `RATE` a second; None: there is no sound track.
    """
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "bf": "2", "g": "50"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        track = container.add_stream("aac", rate=RATE, layout="mono") if sound is not None else None
        for index, image in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = round(times_ms[index] if times_ms else index * 40), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None and sound is not None:
            for start in range(0, len(sound), 1024):
                piece = np.zeros(1024, np.int16)
                piece[: len(sound[start : start + 1024])] = sound[start : start + 1024]
                samples = av.AudioFrame.from_ndarray(piece[np.newaxis], format="s16", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = RATE, start, Fraction(1, RATE)
                container.mux(track.encode(samples))
            container.mux(track.encode(None))
    return path


def frames_in(path: Path) -> list[tuple[float, Image]]:
    """The frames of a film: when each is shown, milliseconds, and `(height, width, 3)` uint8, BGR."""
    video, found = Video(path), []
    while (frame := video.read()) is not None:
        found.append(((frame.position_ns or 0) / 1e6, frame.image))
    video.close()
    return found
