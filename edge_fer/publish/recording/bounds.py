"""How much of a recording is kept, and for how long; the oldest files are deleted, whoever wrote them."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from edge_fer.settings.recording_name import RecordingName

_log = logging.getLogger(__name__)


class _Kept(NamedTuple):
    """One file: when it was last written, seconds since the epoch; its size, bytes; its path."""

    written: float
    size: int
    path: Path


class Bounds:
    """Deletes files that have the name of a recording, at whatever time they were made.

    Args:
        name: the recording's name.
        size: most that its files may take together, bytes; None: no bound.
        age_s: age of what is deleted, seconds; None: no bound.
        clock: seconds since the epoch.
    """

    def __init__(
        self, name: RecordingName, size: float | None, age_s: float | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._name, self._size, self._age_s, self._clock = name, size, age_s, clock

    def enforce(self, *, room: float = 0.0, lasts_s: float = 0.0) -> None:
        """Delete what is beyond the bounds; a file that is being written stays.

        Args:
            room: what must still have room, bytes.
            lasts_s: how long before a file was finished its first picture may have been taken, seconds.

        Raises:
            OSError: when something cannot be deleted.
        """
        if self._size is None and self._age_s is None:
            return
        files = sorted(self._files())
        too_much = sum(file.size for file in files) + room - self._size if self._size is not None else 0.0
        oldest = self._clock() - self._age_s + lasts_s if self._age_s is not None else 0.0
        deleted = []
        for file in files:
            if (too_much > 0 or file.written < oldest) and _delete(file.path):
                too_much -= file.size
                deleted.append(file)
                self._delete_empty_folders(file.path)
        if deleted:
            size = sum(file.size for file in deleted) / 1e6
            _log.info("deleted %d old recordings of %.1f MB; the last was %s", len(deleted), size, deleted[-1].path)

    def _files(self) -> Iterator[_Kept]:
        for path in _matching(self._name.base, tuple(self._name.patterns())):
            with suppress(FileNotFoundError):  # another run has just deleted it
                found = path.stat(follow_symlinks=False)
                yield _Kept(found.st_mtime, found.st_size, path)

    def _delete_empty_folders(self, path: Path) -> None:
        for folder in path.parents:
            if folder == self._name.base:
                return
            try:
                folder.rmdir()
            except OSError:  # it is not empty
                return


def _matching(folder: Path, patterns: Sequence[re.Pattern[str]]) -> Iterator[Path]:
    """The files below a folder whose names match, level by level; links are not followed."""
    first, *others = patterns
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if first.fullmatch(entry.name) is None:
            continue
        if others and entry.is_dir(follow_symlinks=False):
            yield from _matching(Path(entry.path), others)
        elif not others and entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def _delete(path: Path) -> bool:
    """Delete a file; false where it is being written, or is gone."""
    with suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        except BlockingIOError:
            return False
        finally:
            os.close(file)
        return True
    return False
