"""A file that is written under a hidden name and gets its own when it is complete, by one run at a time."""

from __future__ import annotations

import fcntl
import itertools
import os
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

_MODE = 0o640  # it shows people: not every user of the machine may read it


class PartialFile:
    """The unfinished file, hidden and locked; when its process dies, the content stays and the lock goes.

    Args:
        final: the path that it gets when it is complete.
        path: its path until then.
        file: the open and locked file.

    Attributes:
        path: its path until it is complete.
    """

    def __init__(self, final: Path, path: Path, file: FileIO) -> None:
        self._final, self.path, self._file = final, path, file

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written; right after `claim`: whether no earlier run was interrupted."""
        return os.fstat(self._file.fileno()).st_size == 0

    def complete(self) -> None:
        """Give the file its final name; an existing file of that name is replaced."""
        self.path.replace(self._final)
        self._file.close()

    def set_aside(self) -> Path:
        """Give the unfinished file a visible name that no file has; the final name can then be claimed again.

        Returns:
            The new path.
        """
        for number in itertools.count(1):
            suffix = f"-{number}" if number > 1 else ""
            aside = self._final.with_name(f"{self._final.stem}-interrupted{suffix}{self._final.suffix}")
            if not aside.exists():
                break
        self.path.rename(aside)
        self._file.close()
        return aside

    def release(self) -> None:
        """Unlock the file: content stays, an empty file is deleted."""
        if self.is_empty:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def discard(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
        self._file.close()


def claim(final: Path) -> PartialFile | None:
    """Open and lock the unfinished file, with what an interrupted run may have left in it.

    Args:
        final: the path that the file gets when it is complete.

    Returns:
        The file; None where another process has locked it.

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
            if _is_at(path, file):  # else another process has completed or deleted it since it was opened here
                stack.pop_all()
                return PartialFile(final, path, file)


def _is_at(path: Path, file: FileIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
