"""What kind of file is at a path, and files that are whole or not there."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edge_fer.common.text import redact
from edge_fer.errors import EdgeFerError, OutputError, SourceError

PIPE_S = 5.0
"""How long a pipe may take that stands where a file is expected, as `<(command)` of a shell does, seconds."""


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when all of it is on the disk.

    Several programs may write the same file at a time: the last one to end wins.

    Args:
        path: the file; its folder is made.
        mode: its permissions, of which the process's umask takes some away.

    Raises:
        OutputError: when it cannot be written; `path` is then what it was.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except EdgeFerError:  # what the content comes from failed, and some of these are OSErrors, too
        raise
    except OSError as error:
        raise OutputError(f"expected to write {path}, found: {error.strerror or error}; check the folder") from error


def mode_of(path: Path) -> int | None:
    """Type and permissions of the file at a path, as `os.stat_result.st_mode`; None where there is none.

    Args:
        path: the path.

    Raises:
        SourceError: when this user may not read the folder, or no file can have such a name.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(
            f"expected a camera, picture, video or folder at {redact(str(path))!r}, found: {reason}; check the path"
        ) from error


def read_at_most(path: Path, size: int, wait_s: float = PIPE_S) -> bytes:
    """The beginning of a file, or what comes out of a pipe, which is not waited for without end.

    Args:
        path: the file.
        size: most that is read, bytes.
        wait_s: how long a pipe may take, seconds.

    Raises:
        OSError: when it cannot be read, or nobody writes to the pipe to its end.
    """
    content, until = b"", time.monotonic() + wait_s
    poller = select.poll()
    with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        poller.register(file, select.POLLIN)
        while len(content) < size:
            if not poller.poll(max(until - time.monotonic(), 0) * 1000):
                raise OSError(errno.ETIMEDOUT, f"a pipe that nobody wrote to its end within {wait_s:g} s; name a file")
            piece = file.read(size - len(content))
            if not piece:
                break
            content += piece
    return content


def check_regular(path: Path) -> None:
    """Check a file that a library will open: a pipe it would wait for, for good.

    Args:
        path: the file.

    Raises:
        OSError: when there is none, or it is no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file")
