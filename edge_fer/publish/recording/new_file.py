"""Files that no other program has: one that exists is never opened, the next one gets a number."""

from __future__ import annotations

import fcntl
import itertools
import os
from contextlib import ExitStack, suppress
from datetime import datetime
from io import FileIO
from pathlib import Path

from edge_fer.common.text import printable
from edge_fer.errors import OutputError
from edge_fer.settings.recording_name import RecordingName

RESERVE_BYTES = 16 * 2**20
"""So much stays free on the disk, for whatever else the box has to write."""

_MODE, _FOLDER_MODE = 0o640, 0o750  # they show people: not every user of the machine may read them


class NewFile:
    """A file that is being written, and locked until it is closed, so that nobody deletes it for its age.

    Args:
        path: its path.
        file: the open file.
        made: the folders that were made for it, the innermost last.

    Attributes:
        path: see above.
        error: why it could not be written; None where it could.
    """

    def __init__(self, path: Path, file: FileIO, made: list[Path]) -> None:
        self.path = path
        self.error: OSError | None = None
        self._file, self._made = file, made

    def write(self, data: bytes) -> int:
        """Write all of it; how many bytes that were.

        Raises:
            OSError: when that fails.
        """
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._write_some(rest) :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def _write_some(self, data: memoryview) -> int:
        return self._file.write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the file; see `io.IOBase.seek`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place in the file."""
        return self._file.tell()

    def check(self) -> None:
        """Check whether it makes sense to go on.

        Raises:
            OutputError: when the disk is almost full, or the file is no longer where it was.
            OSError: when that cannot be found out.
        """
        check_space(self._file.fileno(), self.path)
        try:
            is_there = os.path.samestat(self.path.stat(), os.fstat(self._file.fileno()))
        except (FileNotFoundError, NotADirectoryError):
            is_there = False
        if not is_there:  # what is written to a deleted file is lost
            raise OutputError(
                f"expected the recording {printable(str(self.path))}, found it moved or deleted; leave it"
            )

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def discard(self) -> None:
        """Delete it, and the folders that were made for it."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        for folder in reversed(self._made):
            with suppress(OSError):  # something else may be in it by now
                folder.rmdir()
        self._file.close()


class FileMaker:
    """Makes the files of one recording, one after the other.

    Args:
        name: their name.
    """

    def __init__(self, name: RecordingName) -> None:
        self._name = name
        self._last: tuple[Path, int] = Path(), 1  # the last name, and how often there was a file of it

    def make(self, at: datetime, picture: str = "") -> NewFile:
        """Make a file, and the folders with the time in their names.

        Args:
            at: when it begins, local time.
            picture: its name where the recording is a folder for pictures.

        Raises:
            OutputError: when the disk is almost full.
            OSError: when it cannot be made.
        """
        path = self._name.path(at, picture)
        with ExitStack() as stack:
            check_space(self._name.base, path)
            made = list(_missing(path.parent, self._name.base))
            for folder in made:
                folder.mkdir(_FOLDER_MODE, exist_ok=True)
            last, number = self._last
            for again in itertools.count(number if path == last else 1):
                numbered = path.with_name(f"{path.stem}-{again}{path.suffix}") if again > 1 else path
                with suppress(FileExistsError):
                    file = stack.enter_context(FileIO(numbered, "xb", opener=_open))
                    break
            with suppress(OSError):  # some file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._last = path, again
            stack.pop_all()
        return NewFile(numbered, file, made)


def check_space(place: int | Path, path: Path) -> None:
    """Raise OutputError where there is too little free space.

    Args:
        place: an open file or a folder of the file system.
        path: the recording, for the message.
    """
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    if free < RESERVE_BYTES:
        raise OutputError(
            f"expected {RESERVE_BYTES >> 20} MiB of free space to record {printable(str(path))}, "
            f"found {free >> 20} MiB; what was recorded so far is kept; free some space, or choose another place"
        )


def _missing(folder: Path, base: Path) -> list[Path]:
    """The folders from `base` to `folder` that do not exist, the outermost first."""
    missing = itertools.takewhile(lambda one: one != base and not one.exists(), (folder, *folder.parents))
    return list(missing)[::-1]


def _open(name: str, flags: int) -> int:
    return os.open(name, flags, _MODE)
