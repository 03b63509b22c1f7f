"""The sound of a recording, through PyAV, which reads films and .wav files alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer
from numpy.typing import NDArray

from edge_fer.capture.sources.file_kind import open_file
from edge_fer.capture.sources.film.container import open_container
from edge_fer.errors import SourceError

RATE = 16_000
"""Samples a second that sound is brought to: tones up to 8 kHz are kept."""

_MOST_S = 6 * 3600
"""Longest sound that is read, seconds; it takes 115 MB an hour."""
_GAP_S = 0.05  # times that differ by less are the rounding of the container


class Sound(NamedTuple):
    """The sound of a recording.

    Attributes:
        samples: `(n,)` int16, one channel, `RATE` a second; the first one is where the recording begins.
    """

    samples: NDArray[np.int16]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / RATE


def read_sound(path: Path, tell: Callable[[str], None]) -> Sound:
    """Read the sound of a film, or of a file with sound only; silence stands for what cannot be decoded.

    Args:
        path: the file.
        tell: receives a line where some of it cannot be decoded.

    Raises:
        SourceError: when it has none, or cannot be read.
    """
    with open_file(path) as file:
        try:
            container = open_container("fd:", {"fd": str(file.fileno())}, None)
        except OSError as error:
            raise _silent(path, error.strerror or str(error)) from error
        with closing(container):
            if not container.streams.audio:
                raise _silent(path, "no sound track")
            samples = np.concatenate([np.zeros(0, np.int16), *_pieces(container, path, tell)])
    if not len(samples):
        raise _silent(path, "no sound that can be decoded")
    return Sound(samples)


def _pieces(container: InputContainer, path: Path, tell: Callable[[str], None]) -> Iterator[NDArray[np.int16]]:
    """The samples one after the other, with silence where there are none."""
    start_s = (container.start_time or 0) / av.time_base
    resampler = av.AudioResampler("s16", "mono", RATE)
    count = 0
    for piece in _resampled(_decoded(container, path, tell), resampler):
        samples = np.asarray(piece.to_ndarray(), np.int16).reshape(-1)
        ahead = 0 if piece.time is None else round((piece.time - start_s) * RATE) - count
        silence = ahead if ahead > _GAP_S * RATE else 0
        count += silence + len(samples)
        if count > _MOST_S * RATE:
            raise SourceError(
                f"expected {_MOST_S // 3600} hours of sound at most in {path}, found more; cut the recording into parts"
            )
        yield np.zeros(silence, np.int16)
        yield samples


def _resampled(frames: Iterator[AudioFrame], resampler: av.AudioResampler) -> Iterator[AudioFrame]:
    for frame in frames:
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _decoded(container: InputContainer, path: Path, tell: Callable[[str], None]) -> Iterator[AudioFrame]:
    lost = 0
    try:
        for packet in container.demux(audio=0):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                lost += 1
                continue
            yield from (frame for frame in frames if isinstance(frame, AudioFrame))
    except av.FFmpegError as error:
        tell(f"the sound of {path} breaks off: {error.strerror}; beeps after that are not found")
    if lost:
        tell(f"{lost} packets of the sound of {path} cannot be decoded; beeps in them are not found")


def _silent(path: Path, found: str) -> SourceError:
    return SourceError(
        f"expected sound with beeps in {path}, found: {found}; name a file with its sound (--sound beeps.wav), or cut "
        "by time (--every 6)"
    )
