"""Whether a file is a picture or a film, by its content: names say little, except of Targa.

Formats that Pillow reads are pictures, animations too (`picture_file.py`). Everything else is left to FFmpeg, and so
are pictures one after the other in one file, such as Motion JPEG without a container.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO, Literal

from edge_fer.capture.sources.jpeg import has_more_pictures
from edge_fer.common.exhaustion import HINT, is_exhausted
from edge_fer.common.files import mode_of
from edge_fer.common.text import redact
from edge_fer.errors import SourceError

FileKind = Literal["picture", "video"]

_HEAD_BYTES = 1 << 25  # the first picture of a film of pictures ends before
_PNG = b"\x89PNG\r\n\x1a\n"
_PICTURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8|BM|II[*+]\0|MM\0[*+]|RIFF....WEBP|P[1-6][\s#]|\x59\xa6\x6a\x95"
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    re.DOTALL,
)
"""How they begin: JPEG, PNG, GIF, BMP, TIFF, WebP, PNM, Sun raster, JPEG 2000 in a file and without one."""
_TEXT = re.compile(rb"(?!YUV4MPEG2 )[\t\n\f\r\x1b -~\x80-\xff]+")
"""Text; FFmpeg would draw it, or open what a playlist names."""
_AVIF = frozenset((b"avif", b"avis"))
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
_RAW_PHOTO = frozenset((b"crx ",))
_BLANK = rb"(?:\s|#[^\n]*\n)+"
_PNM = re.compile(rb"P([56])%b(\d{1,9})%b(\d{1,9})%b(\d{1,9})\s" % ((_BLANK,) * 3))


def file_kind(path: Path) -> FileKind:
    """Decide what a file is.

    Args:
        path: the file.

    Raises:
        SourceError: when it cannot be read, is no regular file, or is of a kind that would be read wrongly.
    """
    with open_file(path) as file:
        try:
            head = file.read(256)
            brands = _brands(head)
            if _PICTURE.match(head):
                file.seek(0)
                return "video" if _is_film_of_pictures(file) else "picture"
        except OSError as error:
            raise _unreadable(path, error) from error
    if brands & _AVIF:
        return "picture"
    if _TEXT.fullmatch(head):
        raise SourceError(f"expected a picture or a video in {path}, found text; name a stream by its URL")
    if brands & _HEIC:
        raise SourceError(
            f"expected a picture or a video in {path}, found HEIC, which is not read; convert it to JPEG first, such "
            "as with heif-convert"
        )
    if brands & _RAW_PHOTO:
        raise SourceError(f"expected a picture or a video in {path}, found a raw photo; convert it to JPEG first")
    return "picture" if is_targa(path) else "video"


def is_targa(path: Path) -> bool:
    """Whether it is called a Targa picture, the one format that begins with nothing of its own."""
    return path.suffix.lower() == ".tga"


def open_file(path: Path) -> BinaryIO:
    """Open a regular file: a pipe could block for ever, and a device could have no end.

    Args:
        path: the file.

    Raises:
        SourceError: when it cannot be opened or is no regular file.
    """
    mode = mode_of(path)
    if mode is not None and not stat.S_ISREG(mode):
        found = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise SourceError(f"expected a picture or a video at {redact(str(path))}, found {found}")
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> SourceError:
    hint = HINT if is_exhausted(error) else "check the path"
    return SourceError(f"expected a picture or a video at {redact(str(path))}, found: {error.strerror}; {hint}")


def _brands(head: bytes) -> frozenset[bytes]:
    """What a file of boxes (ISO/IEC 14496-12) says that it is; empty for other files."""
    if head[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return frozenset((head[8:12], *(head[start : start + 4] for start in range(16, end, 4))))


def _is_film_of_pictures(file: BinaryIO) -> bool:
    """Whether another picture of the same format begins where the first one ends."""
    content = file.read(_HEAD_BYTES)
    if content.startswith(_PNG):
        return b"IEND\xaeB\x60\x82" + _PNG in content
    if content.startswith(b"BM"):
        size = int.from_bytes(content[2:6], "little")
        return size > 0 and content[size : size + 2] == b"BM"
    if (header := _PNM.match(content)) is not None:
        kind, width, height, most = map(int, header.groups())
        raster = width * height * (3 if kind == 6 else 1) * (2 if most > 255 else 1)
        return _PNM.match(content, header.end() + raster) is not None
    return has_more_pictures(content)
