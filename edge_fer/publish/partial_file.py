"""A file that grows beside its name and takes it when it is complete, for one run at a time."""

from __future__ import annotations

import fcntl
import itertools
import os
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

_MODE = 0o640  # it shows people: nothing for everybody on the box


class PartialFile:
    """What there is so far of a file, hidden and locked; a process that dies leaves the content, and no lock.

    Args:
        final: the name that it takes when it is complete.
        path: where it grows.
        file: the same, open and locked.

    Attributes:
        path: see above.
    """

    def __init__(self, final: Path, path: Path, file: FileIO) -> None:
        self._final, self.path, self._file = final, path, file

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written; right after `claim`: whether no run before was interrupted."""
        return os.fstat(self._file.fileno()).st_size == 0

    def complete(self) -> None:
        """Give it its name; a file of that name is replaced."""
        self.path.replace(self._final)
        self._file.close()

    def put_aside(self) -> Path:
        """Give it a name that shows and that no file has; what the name is. It can be claimed anew."""
        for number in itertools.count(1):
            number_if_any = f"-{number}" if number > 1 else ""
            aside = self._final.with_name(f"{self._final.stem}-interrupted{number_if_any}{self._final.suffix}")
            if not aside.exists():
                break
        self.path.rename(aside)
        self._file.close()
        return aside

    def leave(self) -> None:
        """Give it up: what was written stays, an empty one goes."""
        if self.is_empty:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def discard(self) -> None:
        """Delete it."""
        self.path.unlink(missing_ok=True)
        self._file.close()


def claim(final: Path) -> PartialFile | None:
    """Have the part of a file for oneself, with what an earlier run may have left in it.

    Args:
        final: the file's name when it is complete.

    Returns:
        Null where another process has it.

    Raises:
        OSError: when it cannot be written there.
    """
    path = final.with_name(f".{final.stem}.part{final.suffix}")
    while True:
        with ExitStack() as stack:
            file = stack.enter_context(FileIO(path, "ab", opener=lambda name, flags: os.open(name, flags, _MODE)))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            if _is_at(path, file):  # else whoever had it completed or deleted it since it was opened here
                stack.pop_all()
                return PartialFile(final, path, file)


def _is_at(path: Path, file: FileIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
