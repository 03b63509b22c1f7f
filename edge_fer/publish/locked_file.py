"""A file that one run at a time appends to."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

_MODE = 0o640
"""Permissions of a new file: readings are about people, and not every user of the machine may read them."""


def open_locked(path: Path) -> FileIO | None:
    """Open a file to append to it, and lock it until it is closed; it is made where it does not exist.

    Args:
        path: the file.

    Returns:
        The file, unbuffered: what was written survives a crash of this process, and a full disk fails the very write.
        None where another run has locked it.

    Raises:
        OSError: when it cannot be written.
    """
    while True:
        with ExitStack() as stack:
            file = stack.enter_context(FileIO(path, "ab+", opener=lambda name, flags: os.open(name, flags, _MODE)))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            if is_at(path, file):  # else another run has rotated it since it was opened here
                stack.pop_all()
                return file


def is_at(path: Path, file: FileIO) -> bool:
    """Whether an open file is the one at a path; false also where there is none."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
