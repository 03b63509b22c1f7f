"""Records in a file, one JSON object a line, which is rotated when it is large or old."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.publish.locked_file import is_at, open_locked
from edge_fer.schema import Record, to_json
from edge_fer.settings import FileSettings, Settings
from edge_fer.types import Image

_CHECK_BYTES = 65_536  # as much as some dozens of readings

_log = logging.getLogger(__name__)


def open_sink(settings: Settings) -> JsonFile:
    """Open the file that the settings name; see `JsonFile`.

    Args:
        settings: the run's settings.
    """
    return JsonFile(settings.publish.file, retry_open=settings.publish.keep_going)


def validate(settings: Settings) -> None:
    """Check whether the file can be written; another run may be writing it, as at a reload.

    Args:
        settings: the run's settings.

    Raises:
        OutputError: when it cannot be written.
    """
    try:
        _try(settings.publish.file)
    except InUse as error:
        _log.debug("%s", error)


def check(settings: Settings) -> None:
    """Check whether the file can be written and rotated, or a run writes it already, as the service may.

    Args:
        settings: the run's settings.

    Raises:
        OutputError: when its folder takes no file, the disk is full, or it cannot be written.
    """
    path = settings.publish.file.path
    assert path is not None
    try:
        _try(settings.publish.file)
    except InUse:
        _log.warning("file: a run writes %s already; it is taken for the one with these settings", path)
    beside = path.with_name(f".{path.name}.check")
    try:
        beside.write_bytes(bytes(_CHECK_BYTES))
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def _try(settings: FileSettings) -> None:
    """Open the file once; one that did not exist before does not exist afterwards."""
    assert settings.path is not None
    was_there = settings.path.exists()
    JsonFile(settings).close()
    if not was_there:  # else it would belong to the user who checks, perhaps root
        settings.path.unlink()


class InUse(OutputError):
    """Another run writes the file."""


class JsonFile(Sink):
    """Appends each record to a file.

    A rotation renames files: PATH becomes PATH.1, PATH.1 becomes PATH.2, and the oldest is deleted. When a write fails,
    its line is lost, the file keeps complete lines only, and the next record is tried again. What a power cut left of a
    line stays a line of its own. Other programs may move or delete the file, as logrotate does: then the next record
    starts a new one. The file is locked: a second run with the same path would rotate away what this one writes, so it
    fails, until this one ends.

    Args:
        settings: the path, how large and how old a file may get, how many are kept, and when they are flushed to disk.
        retry_open: whether a file that cannot be opened now, as on a disk that is not mounted, is tried with each
            record; otherwise this constructor raises.
        clock: seconds that never go backwards.

    Raises:
        OutputError: when its folder does not exist, the file cannot be written or another run writes it, unless
            `retry_open`.
    """

    name = "file"
    tick_s = 1.0

    def __init__(
        self, settings: FileSettings, *, retry_open: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        assert settings.path is not None
        self._path, self._settings, self._clock = settings.path, settings, clock
        self._file: FileIO | None = None
        self._begun = self._synced = clock()
        self._is_dirty = False
        if not retry_open:
            self._opened()

    def publish(self, record: Record, image: Image | None) -> None:
        """Write one record; see `edge_fer.publish.Sink.publish`."""
        line = to_json(record).encode() + b"\n"
        try:
            self._make_room(len(line))
            self._append(line)
            self._is_dirty = True
            self._sync_if_due()
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def tick(self) -> None:
        """Rotate the file, or flush it to disk, when that is due."""
        try:
            self._make_room(0)
            self._sync_if_due()
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        """Flush the file to disk, unless the settings say never, and close it."""
        file, self._file = self._file, None
        try:
            self._finish(file)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _finish(self, file: FileIO | None) -> None:
        if file is not None:
            if self._settings.fsync != "never":
                os.fsync(file.fileno())
            file.close()

    def _append(self, line: bytes) -> None:
        """Write a complete line, or nothing of it."""
        file = self._opened()
        end = file.seek(0, os.SEEK_END)
        is_torn = end and os.pread(file.fileno(), 1, end - 1) != b"\n"  # by a power cut, or by another program
        try:
            rest = memoryview(b"\n" + line if is_torn else line)
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(end)
            raise

    def _make_room(self, length: int) -> None:
        """Rotate the file when another line would make it too large, or when it is too old; open one where none is."""
        if self._is_gone():
            self.close()
        file = self._opened()
        size, limit = file.seek(0, os.SEEK_END), self._settings.max_mb * 1e6
        hours = self._settings.max_hours
        is_old = hours is not None and self._clock() - self._begun >= hours * 3600
        if size and (size + length > limit or is_old):
            self._rotate()

    def _rotate(self) -> None:
        """Put a new file in the place of the old one, which a run that waits for it never finds free in between."""
        hidden = self._path.with_name(f".{self._path.name}.new")
        with ExitStack() as stack:
            new = stack.enter_context(self._open(hidden))
            for number in range(self._settings.keep, 1, -1):
                if (newer := self._rotated_path(number - 1)).exists():
                    newer.replace(self._rotated_path(number))
            if self._settings.keep:
                self._keep_as(self._rotated_path(1))
            hidden.replace(self._path)
            stack.pop_all()
        old, self._file = self._file, new
        self._finish(old)

    def _keep_as(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
            path.hardlink_to(self._path)
        except OSError:  # FAT has no links
            self._path.replace(path)

    def _is_gone(self) -> bool:
        """Whether the open file is no longer the one at the path."""
        return self._file is not None and not is_at(self._path, self._file)

    def _rotated_path(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _sync_if_due(self) -> None:
        policy, now = self._settings.fsync, self._clock()
        due = policy == "always" or (policy == "second" and now - self._synced >= 1)
        if self._is_dirty and due and self._file is not None:
            os.fsync(self._file.fileno())
            self._synced, self._is_dirty = now, False

    def _opened(self) -> FileIO:
        """The file, which is opened where it is not."""
        if self._file is None:
            self._file = self._open(self._path)
        return self._file

    def _open(self, path: Path) -> FileIO:
        try:
            if path.exists() and not path.is_file():  # a pipe would wait for its reader, for good
                raise OutputError(
                    f"expected a file for readings at {self._path}, found something else; "
                    "choose another place (publish.file.path)"
                )
            file = open_locked(path)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        if file is None:
            raise InUse(
                f"expected to be the only run that writes readings to {self._path}, found another at it; "
                "end that run, or choose another place (publish.file.path)"
            )
        self._begun = self._clock()
        return file


def _unwritable(path: Path, error: OSError) -> OutputError:
    if isinstance(error, OutputError):
        return error
    return OutputError(
        f"expected to write readings to {path}, found: {error.strerror}; "
        "make room or the folder, or choose another place (publish.file.path)"
    )
