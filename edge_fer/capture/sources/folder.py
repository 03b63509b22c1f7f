"""A folder of pictures and films, in the order of their names; folders inside it are not read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_fer.capture.sources import Source, SourceFrame
from edge_fer.common.text import printable
from edge_fer.errors import SourceError


class Folder:
    """A folder, one file after the other. What cannot be read is left out, counted and named, except hidden files.

    Args:
        path: the folder.
        opener: opens a file.
        warn: called with a message about everything that is left out.

    Raises:
        SourceError: when the folder cannot be read, or nothing in it can.
    """

    live = False
    fps: float | None = None  # its films have positions instead

    def __init__(self, path: Path, opener: Callable[[Path], Source], warn: Callable[[str], None]) -> None:
        self.name = str(path)
        self._opener, self._warn = opener, warn
        self._left_out = self._skipped_before = 0
        self._file: Source | None = None
        try:
            files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
        except OSError as error:
            raise SourceError(f"expected a folder of pictures at {path}, found: {error.strerror}") from error
        self._files = iter(files)
        self._why = "the folder is empty"
        self._first = self._next()
        if self._first is None:
            raise SourceError(
                f"expected pictures or videos in the folder {path}, found none that can be read among {len(files)} "
                f"files; the last reason: {self._why}"
            )

    @property
    def skipped(self) -> int:
        """How many files were left out, and frames of films."""
        return self._left_out + self._skipped_before + (self._file.skipped if self._file else 0)

    def read(self) -> SourceFrame | None:
        """Read the next picture that can be read; see `edge_fer.capture.sources.Source.read`."""
        taken, self._first = self._first or self._next(), None
        return taken

    def close(self) -> None:
        """Read no more files."""
        self._files = iter(())
        self._close_file()

    def _next(self) -> SourceFrame | None:
        while self._file is not None or self._open_file():
            taken = self._read_file()
            if taken is not None:
                return taken
            self._close_file()
        return None

    def _open_file(self) -> bool:
        """Open the next file that can be opened; whether there is one."""
        for path in self._files:
            try:
                self._file = self._opener(path)
            except SourceError as error:
                self._leave_out(path.name, error)
            else:
                return True
        return False

    def _read_file(self) -> SourceFrame | None:
        assert self._file is not None
        try:
            return self._file.read()
        except SourceError as error:  # what it had so far was read
            self._leave_out(f"the rest of {Path(self._file.name).name}", error)
            return None

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._skipped_before += file.skipped
            file.close()

    def _leave_out(self, what: str, error: SourceError) -> None:
        self._left_out += 1
        self._why = str(error)
        self._warn(f"left out {printable(what)}: {error}; {self._left_out} so far")
