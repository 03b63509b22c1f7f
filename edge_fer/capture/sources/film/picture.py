"""Decoded frames to the runtime's picture: BGR, upright, with square pixels."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from edge_fer.capture.sources import MAX_PIXELS
from edge_fer.types import Image

Matrix = tuple[int, int, int, int]  # a, b, c, d of a display matrix

_LEAST_SQUARE, _MOST_SQUARE = Fraction(1, 4), Fraction(4)  # aspects of pixels beyond these are mistakes
_HDR = {16: "PQ", 18: "HLG"}  # ITU-T H.273, transfer characteristics


class Converter:
    """Converts the frames of one film.

    Colours that FFmpeg cannot convert are read as BT.709, and high dynamic range is not tone-mapped: both are told
    once, since faces can still be recognised.

    Args:
        pixel_aspect: width of a pixel divided by its height; None where unknown.
        warn: called with one line about colours that are not true.
    """

    def __init__(self, pixel_aspect: Fraction | None, warn: Callable[[str], None]) -> None:
        known = pixel_aspect is not None and _LEAST_SQUARE <= pixel_aspect <= _MOST_SQUARE
        self._aspect = pixel_aspect if known and pixel_aspect is not None else Fraction(1)
        self._warn = warn
        self._warned: set[str] = set()
        # A frame that is asked for its side data is part of a circle from then on, and is not freed at once: so only
        # the first one is asked, and where a film is turned within.
        self._rotation: int | None = None
        self._matrix: Matrix = 1, 0, 0, 1
        self._reformatter = VideoReformatter()
        self._colours: Colorspace | None = None  # the frame's own

    def convert(self, frame: av.VideoFrame) -> Image:
        """Convert a frame. Of ordinary film the pixels are those that OpenCV's reader gives.

        Args:
            frame: as it was decoded.

        Returns:
            `(height, width, 3)` uint8, BGR, contiguous. It is turned as the film says; where pixels are not square,
            it is wider or higher than the frame, never smaller.

        Raises:
            ValueError: when it is larger than `MAX_PIXELS`, or of a kind that FFmpeg cannot convert.
        """
        width, height = self._square(frame.width, frame.height)
        if not 0 < width * height <= MAX_PIXELS:
            raise ValueError(f"a picture of {width}x{height}, more than {MAX_PIXELS // 10**6} megapixels")
        if (name := _HDR.get(getattr(frame, "color_trc", 0))) is not None:
            self._tell(f"its colours are of high dynamic range ({name}), which is not tone-mapped: they look pale")
        if frame.rotation != self._rotation:
            self._rotation, self._matrix = frame.rotation, _matrix_of(frame)
        return _upright(_array(self._bgr(frame, width, height)), self._matrix)

    def _bgr(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        try:
            return self._reformat(frame, width, height)
        except av.FFmpegError as error:
            reason = error.strerror
        self._reformatter, self._colours = VideoReformatter(), Colorspace.ITU709  # the old one keeps its failure
        try:
            converted = self._reformat(frame, width, height)
        except av.FFmpegError as error:
            self._colours = None
            raise ValueError(f"a picture ({frame.format.name}) that FFmpeg cannot convert: {reason}") from error
        self._tell(f"FFmpeg cannot convert its colours (matrix {int(frame.colorspace)}); they are read as BT.709")
        return converted

    def _reformat(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        return self._reformatter.reformat(
            frame, width, height, "bgr24", src_colorspace=self._colours, interpolation=Interpolation.BICUBIC
        )

    def _square(self, width: int, height: int) -> tuple[int, int]:
        """The size with square pixels."""
        if self._aspect >= 1:
            return round(width * self._aspect), height
        return width, round(height / self._aspect)

    def _tell(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)


def _array(frame: av.VideoFrame) -> Image:
    """The pixels of a frame in BGR, `(height, width, 3)` uint8; without a copy where its rows are not padded."""
    plane, width = frame.planes[0], 3 * frame.width
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, :width]
    return np.ascontiguousarray(rows).reshape(frame.height, frame.width, 3)


def _matrix_of(frame: av.VideoFrame) -> Matrix:
    """The display matrix of a frame: a place x, y in the picture is shown at `a x + c y`, `b x + d y`."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(found, SideData):
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(memoryview(found), np.int32)[:5].tolist()
    return a, b, c, d


def _upright(image: Image, matrix: Matrix) -> Image:
    """Turn and mirror a picture as a display matrix says."""
    a, b, c, d = matrix
    sideways = abs(b) > abs(a)
    to_left, to_top = (c < 0, b < 0) if sideways else (a < 0, d < 0)
    shown = cv2.transpose(image) if sideways else image
    if to_left or to_top:
        shown = cv2.flip(shown, -1 if to_left and to_top else int(to_left))
    return np.asarray(shown, np.uint8)
