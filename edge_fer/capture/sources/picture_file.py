"""Reads picture files through Pillow: one picture, several pages, or the frames of an animation, one after the other.

Only the header is read when a file is opened, so that nothing is decoded that is larger than is allowed.
"""

from __future__ import annotations

import mmap
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, ImageOps
from PIL import Image as Pillow

from edge_fer.capture.sources import MAX_PIXELS
from edge_fer.capture.sources.file_kind import is_targa, open_file
from edge_fer.capture.sources.jpeg import MAX_SCANS
from edge_fer.common.closeable import Closeable
from edge_fer.errors import SourceError
from edge_fer.types import Image

MAX_BYTES = 1 << 29
"""No picture file may have more: 67 million pixels of 16 bits in three channels, without compression, need less."""

_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "SUN", "TIFF", "WEBP")
_ANIMATED = frozenset(("AVIF", "GIF", "PNG", "WEBP"))  # TIFF has pages
_PREVIEW = 0b101  # of a TIFF's NewSubfileType: a smaller copy of another page, a mask
_BLINK_MS, _USUAL_MS = 10, 100  # browsers show a frame that states at most the first for the second
_BAND = 256  # rows that are converted at once, so that a large picture is in memory only twice

warnings.filterwarnings("ignore", module=r"PIL\.")  # about what is odd in a file; failures are raised


class PictureFrame(NamedTuple):
    """A picture of a file.

    Attributes:
        image: uint8: `(height, width, 3)`, BGR, or `(height, width)`, grey, as it was asked for.
        position_ns: in an animation, when it is shown, nanoseconds from the beginning; else None.
    """

    image: Image
    position_ns: int | None


class PictureFile(Closeable):
    """An open picture file.

    Args:
        path: the file.
        colour: whether its pictures are read in colour.

    Attributes:
        moving: whether it is an animation: frames that are shown one after the other.
        fps: frames a second of an animation, as its first frame says; None before that is read, and for other files.

    Raises:
        SourceError: when it cannot be read, is too large, or is no picture.
    """

    def __init__(self, path: Path, *, colour: bool = True) -> None:
        self.fps: float | None = None
        self._path, self._colour = path, colour
        self._index, self._next_ms = 0, 0.0
        self._file = open_file(path)
        with self._decoding():
            self._check_bytes()
            self._picture: Any = Pillow.open(self._file, formats=(*_FORMATS, "TGA") if is_targa(path) else _FORMATS)
            self._check_pixels()
            self._format = self._picture.format
            # A photo may have others beside it (MPO): depth, a preview, another exposure.
            self._several = self._format != "MPO" and bool(getattr(self._picture, "is_animated", False))
            self.moving = self._several and self._format in _ANIMATED
            if self.moving and getattr(self._picture, "default_image", False):
                self._index = 1  # a PNG may have a picture for those who cannot show its animation

    def read(self) -> PictureFrame | None:
        """Read the next picture, upright as its orientation says; None at the end. The file is closed after the last.

        Raises:
            SourceError: when it cannot be decoded, or the file has fewer pictures than it says.
        """
        with self._decoding():
            while self._seek():
                self._index += 1
                if not self._is_preview():
                    frame = PictureFrame(self._decode(), self._position_ns())
                    if not self._several:
                        self.close()
                    return frame
        self.close()
        return None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _seek(self) -> bool:
        """Go to the next picture; whether there is one."""
        if self._file.closed:
            return False
        try:
            self._picture.seek(self._index)
        except EOFError:
            count = getattr(self._picture, "n_frames", 1)
            if self._index < count:
                raise self._error(f"{self._index} of the {count} pictures that it says it has") from None
            return False
        return True

    def _is_preview(self) -> bool:
        """Whether this page of a TIFF is none of the photos."""
        if self._format != "TIFF":
            return False
        tags = self._picture.tag_v2
        if ExifTags.Base.DNGVersion in tags:
            raise SourceError(
                f"expected a picture or a video in {self._path}, found a raw photo; convert it to JPEG first"
            )
        return bool(tags.get(ExifTags.Base.NewSubfileType, 0) & _PREVIEW)

    def _decode(self) -> Image:
        picture = self._picture
        if not self._colour:
            picture.draft("L", None)  # a JPEG's luminance as it is stored
        self._check_pixels()
        picture.load()
        if picture.mode == "F" or (picture.mode == "I" and self._format != "PPM"):
            raise self._error("numbers whose range is not known, as of measurements")
        if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
        return _to_array(picture, colour=self._colour)

    def _position_ns(self) -> int | None:
        if not self.moving:
            return None
        stated: float = self._picture.info.get("duration") or 0
        duration_ms = stated if stated > _BLINK_MS else _USUAL_MS
        self.fps = self.fps or 1000 / duration_ms
        start_ms: float = self._picture.info.get("timestamp", self._next_ms)
        self._next_ms = start_ms + duration_ms
        return round(start_ms * 1e6)

    def _check_bytes(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if size > MAX_BYTES:
            raise SourceError(f"expected a picture of at most {MAX_BYTES} bytes in {self._path}, found {size}")
        if self._file.read(3) == b"\xff\xd8\xff":
            with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if sum(1 for _ in re.finditer(rb"\xff\xda", content)) > MAX_SCANS:
                    raise self._error(f"a JPEG of more than {MAX_SCANS} scans")
        self._file.seek(0)

    def _check_pixels(self) -> None:
        width, height = self._picture.size
        if width * height > MAX_PIXELS:
            raise self._too_large(f"{width}x{height}")

    def _too_large(self, found: str) -> SourceError:
        return SourceError(
            f"expected a picture of at most {MAX_PIXELS} pixels in {self._path}, found {found}; make it smaller"
        )

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Close the file when something goes wrong; Pillow has no error of its own for files that are damaged."""
        try:
            yield
        except BaseException as error:
            size = os.fstat(self._file.fileno()).st_size
            self.close()
            if isinstance(error, SourceError) or not isinstance(error, Exception):
                raise
            raise self._in_our_words(error, size) from error

    def _in_our_words(self, error: Exception, size: int) -> SourceError:
        if isinstance(error, (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning)):
            return self._too_large("many more")
        if isinstance(error, MemoryError):
            return SourceError(f"expected memory for the picture in {self._path}, found too little")
        return self._error(f"{size} bytes that cannot be decoded")

    def _error(self, found: str) -> SourceError:
        return SourceError(
            f"expected a picture in {self._path}, found {found}; the file is cut short, damaged, or of another kind: "
            "replace it"
        )


def _to_array(picture: Pillow.Image, *, colour: bool) -> Image:
    """A decoded picture as the runtime has it; see `PictureFrame`."""
    width, height = picture.size
    pixels = np.empty((height, width, 3) if colour else (height, width), np.uint8)
    for top in range(0, height, _BAND):
        band = picture.crop((0, top, width, min(top + _BAND, height)))
        if band.mode.startswith("I"):  # 16 bits
            band = Pillow.fromarray((np.asarray(band) >> 8).astype(np.uint8))
        rows = np.asarray(band.convert("RGB" if colour else "L"))
        pixels[top : top + _BAND] = rows[..., ::-1] if colour else rows
    return pixels
