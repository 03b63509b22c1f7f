"""Cuts JPEG pictures out of an endless answer (MJPEG over HTTP).

Cameras disagree about what stands between two pictures: headers with or without a length, or with a wrong one,
boundaries before or after a part, with or without dashes, line ends of one or two bytes. They agree about the pictures.
So each one is cut by its own structure, from marker to marker (ITU-T T.81, annex B), and what stands in between is
passed over. The end mark of a thumbnail inside a picture ends nothing, since its segment is passed over as a whole.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_PICTURE_BYTES = 32 << 20
"""Longest picture."""

MAX_BETWEEN_BYTES = 1 << 20
"""Most bytes between two pictures: headers, text, parts that are no pictures."""

# In every dialect a picture begins a line; a thumbnail in the remains of a broken picture does not.
_START = b"\n\xff\xd8\xff"

# Entropy-coded data goes on across stuffed bytes and restart markers.
_MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITH_LENGTH = frozenset((*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE)) - {0xC8}  # C8 is reserved


class EncodedPicture(NamedTuple):
    """A picture as the camera sent it.

    Attributes:
        content: the picture file.
        captured_ns: CLOCK_MONOTONIC when its first byte came, nanoseconds: the nearest to its exposure that is known.
    """

    content: bytes
    captured_ns: int


class JpegCutter:
    """Takes an answer in pieces of any size, and gives the pictures that are complete.

    Args:
        max_picture: longest picture, bytes.
        max_between: most bytes between two pictures.

    Attributes:
        broken: how many pictures broke off, or were damaged so that their end is not known.
    """

    def __init__(self, max_picture: int = MAX_PICTURE_BYTES, max_between: int = MAX_BETWEEN_BYTES) -> None:
        self.broken = 0
        self._max_picture, self._max_between = max_picture, max_between
        self._buffer = bytearray(b"\n")  # the first picture may begin at once
        self._between = 0
        self._inside = self._in_scan = False
        self._at = 0  # where the walk along the markers goes on
        self._captured_ns = 0

    def feed(self, piece: bytes, now_ns: int) -> list[EncodedPicture]:
        """Take the next piece.

        Args:
            piece: the bytes that came.
            now_ns: CLOCK_MONOTONIC when they came, nanoseconds.

        Returns:
            The pictures that are complete with it, oldest first.

        Raises:
            OSError: when a picture, or what stands between two, is too long.
        """
        self._buffer += piece
        pictures = []
        while self._inside or self._find_start(now_ns):
            if not self._walk():
                break
            pictures += self._cut()
        if len(self._buffer) > self._max_picture:
            raise OSError(f"it sends a picture of more than {self._max_picture >> 20} MiB")
        return pictures

    def _find_start(self, now_ns: int) -> bool:
        found = self._buffer.find(_START)
        passed = found + 1 if found >= 0 else max(len(self._buffer) - len(_START) + 1, 0)
        del self._buffer[:passed]
        self._between += passed
        if self._between > self._max_between:
            raise OSError(f"it sends {self._max_between >> 10} KiB without a JPEG picture")
        if found < 0:
            return False
        self._inside, self._in_scan, self._at, self._captured_ns = True, False, 2, now_ns
        return True

    def _walk(self) -> bool:
        """Walk from marker to marker; whether the walk has come to its end, at the picture's end or at damage."""
        buffer = self._buffer
        while True:
            if self._in_scan:
                match = _MARKER_AFTER_SCAN.search(buffer, self._at)
                if match is None:
                    self._at = max(self._at, len(buffer) - 1)  # the last byte may begin a marker
                    return False
                self._at, self._in_scan = match.start(), False
            if len(buffer) < self._at + 4 and buffer[self._at + 1 : self._at + 2] != b"\xd9":
                return False
            if buffer[self._at] != 0xFF:
                return True
            marker = buffer[self._at + 1]
            if marker == 0xFF:  # fill bytes may stand before a marker
                self._at += 1
                continue
            if marker not in _WITH_LENGTH:
                return True
            length = int.from_bytes(buffer[self._at + 2 : self._at + 4], "big")
            if length < 2:
                return True
            self._at += 2 + length
            self._in_scan = marker == _START_OF_SCAN

    def _cut(self) -> list[EncodedPicture]:
        """Take what has been walked along; the picture, or nothing where the walk ended at damage."""
        self._inside = False
        self._between = 0
        if self._buffer[self._at : self._at + 2] != b"\xff\xd9":
            self.broken += 1
            del self._buffer[: self._at - 1]
            return []
        end = self._at + 2
        picture = EncodedPicture(bytes(self._buffer[:end]), self._captured_ns)
        self._buffer[end - 1 : end] = b"\n"  # the next one may follow at once
        del self._buffer[: end - 1]
        return [picture]
