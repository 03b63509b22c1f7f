"""What a JPEG's header states, read before anything is decoded: a damaged one may ask for gigabytes.

Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re

MAX_SCANS = 100
"""A JPEG with more scans is not decoded: each may touch all of the picture, and a small file could take hours."""

_FRAME_HEADERS = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))  # SOFn
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers that nothing belongs to: TEM and RSTn
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA  # SOI, EOI, SOS
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in a scan, 0xFF is followed by 0, or by the number of a restart
_NEXT_PICTURE = re.compile(rb"\x00*\xff\xd8\xff")


def jpeg_size(content: bytes) -> tuple[int, int] | None:
    """The size of a JPEG as its header states it.

    Args:
        content: the file.

    Returns:
        Width and height, pixels, as the picture is stored: an orientation of EXIF is not applied. None where this is no
        JPEG, its header is damaged, or it has so many scans that it is not to be decoded.
    """
    if content.count(b"\xff\xda") > MAX_SCANS:
        return None
    at = 0
    while (segment := _segment(content, at)) is not None:
        marker, start, at = segment
        if marker in _FRAME_HEADERS:
            height, width = (int.from_bytes(content[start + k : start + k + 2], "big") for k in (3, 5))
            return (width, height) if width and height and start + 7 <= len(content) else None
        if marker in (_END, _SCAN):
            return None
    return None


def has_more_pictures(content: bytes) -> bool:
    """Whether another picture begins where this JPEG ends, as in a film of JPEGs.

    The further pictures that cameras add to a photo (depth, a preview, another exposure) are not meant; a segment in
    its header announces them (CIPA DC-007).

    Args:
        content: the file.
    """
    at = 0
    while (segment := _segment(content, at)) is not None:
        marker, start, at = segment
        if content[start + 2 : start + 6] == b"MPF\0":
            return False
        if marker == _SCAN:
            end = _SCAN_END.search(content, at)
            if end is None:
                return False
            at = end.start()
        if marker == _END:
            return _NEXT_PICTURE.match(content, at) is not None
    return False


def _segment(content: bytes, at: int) -> tuple[int, int, int] | None:
    """The next segment: its marker's second byte, where its length stands, and where it ends; None where there is none.

    Like libjpeg, it skips what is no marker, so that both find the same one.
    """
    if not content.startswith(b"\xff\xd8"):
        return None
    while (at := content.find(b"\xff", at)) >= 0:
        while content[at : at + 1] == b"\xff":  # any number of these may come before a marker
            at += 1
        marker = content[at] if at < len(content) else 0
        at += 1
        if marker == _END:
            return marker, at, at
        if marker and marker != _START and marker not in _ALONE:
            length = int.from_bytes(content[at : at + 2], "big")
            return (marker, at, at + length) if length >= 2 else None
    return None
