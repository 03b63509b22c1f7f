"""A folder of pictures, in the order of their names; folders inside it are not read."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edge_fer.capture.sources import SourceFrame
from edge_fer.capture.sources.picture import read_picture
from edge_fer.common.text import printable
from edge_fer.errors import SourceError

SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
"""Files with these suffixes are taken for pictures, in lower or upper case."""


class Folder:
    """A folder of pictures. One that cannot be read is skipped and counted.

    Args:
        path: the folder.
        warn: called with a message about every picture that is skipped.

    Raises:
        SourceError: when the folder cannot be read or has no pictures.
    """

    live = False
    fps: float | None = None

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.name = str(path)
        self.skipped = 0
        self._warn = warn
        try:
            files = sorted(path.iterdir())
        except OSError as error:
            raise SourceError(f"expected a folder of pictures at {path}, found: {error.strerror}") from error
        pictures = [file for file in files if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
        if not pictures:
            raise SourceError(
                f"expected pictures ({' '.join(sorted(SUFFIXES))}) in the folder {path}, found none among "
                f"{len(files)} files; check the path"
            )
        self._total = len(pictures)
        self._left = iter(pictures)

    def read(self) -> SourceFrame | None:
        """Read the next picture that can be read; see `edge_fer.capture.sources.Source.read`."""
        for path in self._left:
            try:
                return SourceFrame(read_picture(path), time.monotonic_ns(), file=printable(str(path)))
            except SourceError as error:
                self.skipped += 1
                self._warn(f"skipped {path.name}: {error}; {self.skipped} so far")
        if self.skipped == self._total:
            raise SourceError(
                f"expected pictures in the folder {self.name}, found none that can be decoded among {self._total}; "
                "replace them"
            )
        return None

    def close(self) -> None:
        """Read no more pictures."""
        self._left = iter(())
