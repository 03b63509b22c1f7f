"""A single picture: one frame, then the end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np

from edge_fer.capture.sources import SourceFrame
from edge_fer.common.text import printable
from edge_fer.errors import SourceError
from edge_fer.types import Image

_PNG = b"\x89PNG\r\n\x1a\n"


class Picture:
    """A picture file.

    Args:
        path: the file.

    Raises:
        SourceError: when it cannot be read or is no complete picture.
    """

    live = False
    fps: float | None = None
    skipped = 0

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._image: Image | None = read_picture(path)

    def read(self) -> SourceFrame | None:
        """Return the picture the first time; see `edge_fer.capture.sources.Source.read`."""
        image, self._image = self._image, None
        return None if image is None else SourceFrame(image, time.monotonic_ns(), file=printable(self.name))

    def close(self) -> None:
        """Free the picture."""
        self._image = None


def read_picture(path: Path) -> Image:
    """Decode a picture file, rotated as its EXIF data say.

    Args:
        path: the file.

    Returns:
        `(height, width, 3)` uint8, BGR; grey, 16-bit and transparent pictures are converted.

    Raises:
        SourceError: when the file cannot be read or is no complete picture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"expected a picture at {path}, found: {error.strerror}; check the path") from error
    image = None
    if content and not _damaged_png(content):
        silence_opencv()
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            image = None  # as for a picture of more pixels than OpenCV accepts
    if image is None:
        raise SourceError(
            f"expected a picture in {path}, found {len(content)} bytes that cannot be decoded; "
            "the file is cut short, damaged, or of another kind: replace it"
        )
    return np.asarray(image, np.uint8)


def silence_opencv() -> None:
    """Keep OpenCV and FFmpeg from writing to stderr; their failures are raised as errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if hasattr(cv2, "setLogLevel"):  # OpenCV 4
        cv2.setLogLevel(0)
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _damaged_png(content: bytes) -> bool:
    """Whether this is a PNG with a wrong checksum or without its last chunk, about which libpng would write to stderr.

    What follows the last chunk is no part of the picture.
    """
    if not content.startswith(_PNG):
        return False
    start = len(_PNG)
    while start + 12 <= len(content):  # a chunk: length, type, data, checksum of type and data
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        chunk = content[start + 4 : end]
        if crc32(chunk) != int.from_bytes(content[end : end + 4], "big"):
            return True
        if chunk.startswith(b"IEND"):
            return False
        start = end + 4
    return True
