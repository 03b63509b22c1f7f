"""One film, through PyAV; cut off at any byte, it plays up to there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.stream import VideoStream

from edge_fer.errors import OutputError
from edge_fer.publish.recording.new_file import NewFile
from edge_fer.types import Image

KEY_FRAME_MS = 2000.0
"""Time between two pictures that need no other one: what a film that is cut off may lose, and a player can go to."""

_ENCODERS: dict[str, dict[str, str]] = {
    # A fast preset, and one thread, so that reading faces is not held up; each picture is written at once.
    "libx264": {"preset": "superfast", "tune": "zerolatency", "threads": "1"},
    "libopenh264": {},
    "mpeg4": {"qscale": "4", "threads": "1"},
}
"""Encoders that PyAV may come with, the best one first, and their options."""

_USUAL_FPS = 30  # what the encoder reckons with; each picture has a time of its own
_SMPTE170M, _LIMITED = 6, 1  # the colours that OpenCV's conversion makes, as ITU-T H.273 numbers them

_log = logging.getLogger(__name__)


class _Container(NamedTuple):
    """A kind of file.

    Attributes:
        name: as FFmpeg names it.
        options: FFmpeg's.
        unit: unit of its times, seconds.
    """

    name: str
    options: dict[str, str]
    unit: Fraction


_CONTAINERS = {
    ".mp4": _Container("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}, Fraction(1, 1000)),
    ".mkv": _Container("matroska", {"cluster_time_limit": f"{KEY_FRAME_MS:.0f}"}, Fraction(1, 1000)),
    ".avi": _Container("avi", {}, Fraction(1, 60)),  # each unit without a picture takes space in it
}


class Film:
    """A film that is being written.

    Args:
        file: its file, which is closed with it.
        size: width and height of its pictures, pixels; those of another size are scaled to fit.
        comment: kept in the file; see `edge_fer.publish.recording.provenance`.
        crf: constant rate factor of H.264: a smaller one makes a larger file with fewer losses.

    Attributes:
        written: the size of its pictures, bytes.

    Raises:
        OutputError: when it cannot be written.
    """

    def __init__(self, file: NewFile, size: tuple[int, int], comment: str = "", crf: int = 23) -> None:
        self._size = size[0] + size[0] % 2, size[1] + size[1] % 2  # colours have half of both
        self._file, self._key_at_ms, self._last, self._lasts = file, -KEY_FRAME_MS, -1, 1
        self.written = 0
        kind = _CONTAINERS[file.path.suffix.lower()]
        self._unit = kind.unit
        with self._errors(), ExitStack() as stack:
            stack.enter_context(closing(file))
            options = {**kind.options, "flush_packets": "1"}
            self._container = stack.enter_context(closing(av.open(file, "w", format=kind.name, options=options)))
            if comment:
                self._container.metadata["comment"] = comment
            self._stream = self._open_stream(crf)
            self._opened = stack.pop_all()

    def write(self, picture: Image, at_ms: float, lasts_ms: float) -> None:
        """Write one picture.

        Args:
            picture: `(height, width, 3)` uint8, BGR.
            at_ms: when it is shown, milliseconds after the first one; later than the one before.
            lasts_ms: for how long where no other picture follows, milliseconds.

        Raises:
            OutputError: when it cannot be encoded.
            OSError: when it cannot be written.
        """
        planes = cv2.cvtColor(_fitted(picture, *self._size), cv2.COLOR_BGR2YUV_I420)
        frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), "yuv420p")
        frame.time_base = self._unit
        frame.pts = self._last = max(round(Fraction(at_ms) / 1000 / self._unit), self._last + 1)
        self._lasts = max(round(Fraction(lasts_ms) / 1000 / self._unit), 1)
        if at_ms - self._key_at_ms >= KEY_FRAME_MS:
            frame.pict_type, self._key_at_ms = PictureType.I, at_ms
        self._encode(frame)

    def close(self) -> None:
        """Complete it.

        Raises:
            OSError: when what it ends with cannot be written; it plays without that.
        """
        with self._errors(), self._opened:
            self._encode(None)

    def _open_stream(self, crf: int) -> VideoStream:
        encoder = next((name for name in _ENCODERS if name in av.codecs_available), None)
        if encoder is None:
            raise OutputError(
                f"expected one of {', '.join(_ENCODERS)} in the library `av`, found none; record pictures"
            )
        if encoder == "mpeg4":
            _log.warning(
                "the library `av` has no H.264 here: the recording is MPEG-4 Part 2, which browsers do not play"
            )
        options = {**_ENCODERS[encoder], **({"crf": str(crf)} if encoder == "libx264" else {})}
        stream = self._container.add_stream(encoder, _USUAL_FPS, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *self._size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._unit
        stream.codec_context.colorspace, stream.codec_context.color_range = _SMPTE170M, _LIMITED
        return stream

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors of the file are raised as they are, and FFmpeg's as OutputError."""
        try:
            yield
        except FFmpegError as error:
            if self._file.error is not None:
                raise self._file.error from error
            raise OutputError(f"expected to encode a film, found: {error.strerror}; please report it") from error

    def _encode(self, frame: av.VideoFrame | None) -> None:
        with self._errors():
            for packet in self._stream.encode(frame):
                packet.duration = self._lasts
                self.written += packet.size
                self._container.mux(packet)


def _fitted(picture: Image, width: int, height: int) -> Image:
    """A picture scaled to fit a size, with black bars where its shape differs; `(height, width, 3)` uint8, BGR."""
    rows, columns = picture.shape[:2]
    if (columns, rows) == (width, height):
        return picture
    scale = min(width / columns, height / rows)
    if 0 <= width - columns <= 1 and 0 <= height - rows <= 1:  # only made even
        scale = 1.0
    inner = max(round(columns * scale), 1), max(round(rows * scale), 1)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    fitted = np.zeros((height, width, 3), np.uint8)
    cv2.resize(picture, inner, dst=fitted[top : top + inner[1], left : left + inner[0]])
    return fitted
