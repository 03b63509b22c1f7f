"""Which recordings there are, under which names, and whether one is still the same."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from edge_fer.common.secrets import keep_secrets_of
from edge_fer.common.text import first_line, printable, redact
from edge_fer.errors import ConfigError, SourceError

FILMS = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".flv",
        ".h264",
        ".h265",
        ".hevc",
        ".m2ts",
        ".m4v",
        ".mjpeg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    ]
)
"""Files of a folder that end so are recordings; a file that is named itself may end as it likes."""

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_PATTERN = re.compile(r"[*?\[]")
_LONGEST_NAME = 200  # bytes of a file's name; its tables have longer ones, and most file systems take 255


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        name: of its tables, and in them: a relative path.
        address: its absolute path, or its URL.
        problem: why it cannot be read, where that is known before it is opened.
    """

    name: str
    address: str
    problem: str | None = None

    @property
    def is_url(self) -> bool:
        """Whether it is read through fsspec."""
        return _URL.match(self.address) is not None

    @property
    def path(self) -> Path:
        """Where it is, if that is a file."""
        return Path(self.address)

    @property
    def shown(self) -> str:
        """The address for messages and tables: without credentials, printable."""
        return redact(self.address)

    def identity(self) -> str:
        """What changes when its content does: size and time of the file, or what the place of a URL tells instead.

        Raises:
            SourceError: when it is not there, or has a problem.
        """
        if self.problem is not None:
            raise SourceError(self.problem)
        if self.is_url:
            return _identity_of_url(self.address)
        try:
            found = self.path.stat()
        except OSError as error:
            raise SourceError(
                f"expected a recording at {self.shown}, found: {error.strerror}; check the path"
            ) from error
        return f"{found.st_size} bytes, {found.st_mtime_ns} ns"


@dataclass
class Found:
    """What the paths of a command stand for.

    Attributes:
        recordings: in order of their names.
        left_out: how many files of folders are none by their names, by the ending.
    """

    recordings: list[Recording] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find_recordings(paths: Iterable[str], out: Path) -> Found:
    """Look up files, folders with all folders in them, patterns such as `a/**/*.mp4`, and URLs.

    Args:
        paths: what was named. A recording of a folder is called by its path in there, any other by its file's name.
        out: the folder for the tables, which is left out.

    Raises:
        ConfigError: when there is nothing at a path, or two recordings would have the same name.
    """
    found, places = Found(), dict[str, Recording]()
    for path in paths:
        for recording in _recordings_at(path, out, found.left_out):
            other = places.setdefault(recording.name, recording)
            if other.address != recording.address:
                raise ConfigError(
                    f"expected recordings of different names, found {other.shown} and {recording.shown}; name a "
                    "folder that both are in, or give them different folders for --out"
                )
    found.recordings = [places[name] for name in sorted(places)]
    return found


def _recordings_at(text: str, out: Path, left_out: Counter[str]) -> Iterator[Recording]:
    if _URL.match(text):
        keep_secrets_of(text)
        yield _recording(_name_of_url(text), text)
        return
    path = Path(text)
    if path.is_dir():
        yield from _recordings_in(path, out, left_out)
    elif path.exists() or not _PATTERN.search(text):
        if not path.exists():
            raise ConfigError(f"expected a recording, folder or URL, found nothing at {redact(text)}; check the path")
        yield _recording(path.name, str(path.resolve()))
    else:
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  the pattern may begin anywhere
        if not matches:
            raise ConfigError(f"expected recordings that match {redact(text)}, found none; check the pattern")
        for match in matches:
            yield from _recordings_at(match, out, left_out)


def _recordings_in(folder: Path, out: Path, left_out: Counter[str]) -> Iterator[Recording]:
    """Those of a folder and all folders in it; an unreadable folder or a link to nothing has a problem."""
    problems: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=problems.append):
        folders[:] = [one for one in folders if not one.startswith(".")]
        for file in (Path(place, one) for one in files if not one.startswith(".")):
            address = Path(os.path.realpath(file))
            if out in address.parents or not (file.is_file() or file.is_symlink()):
                continue
            if file.suffix.lower() in FILMS:
                yield _recording(file.relative_to(folder).as_posix(), str(address))
            else:
                left_out[file.suffix.lower()] += 1
    for problem in problems:
        unread = Path(problem.filename)
        yield Recording(
            _as_text(unread.relative_to(folder).as_posix()),
            str(unread.absolute()),
            f"expected a folder of recordings at {redact(str(unread))}, found: {problem.strerror}; check it",
        )


def _recording(name: str, address: str) -> Recording:
    """A recording; of one whose name tables cannot have, that is its problem."""
    problem = None
    if _as_text(name) != name:
        problem = f"expected a file name in UTF-8, found {printable(name)}; rename it"
    elif (longest := max(len(part.encode()) for part in name.split("/"))) > _LONGEST_NAME:
        problem = f"expected a name of at most {_LONGEST_NAME} bytes, found {longest}; rename it"
    return Recording(_as_text(name), address, problem)


def _as_text(name: str) -> str:
    """A name in which bytes that are no UTF-8 are escaped: Parquet, JSON and CSV hold text only."""
    return name.encode(errors="backslashreplace").decode()


def _name_of_url(url: str) -> str:
    """Host and path, so that two URLs never have one name."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise ConfigError(f"expected a URL, found {redact(url)}: {error}; check it") from error
    path = PurePosixPath(host, *(part for part in unquote(parts.path).split("/") if part not in {"", ".", ".."}))
    if not parts.path.strip("/"):
        raise ConfigError(f"expected the URL of a recording, found {redact(url)}, which names no file; add its path")
    return str(path)


def file_system(url: str) -> tuple[Any, str]:
    """What reads a URL, and the path in there; see fsspec.

    Args:
        url: the URL.

    Raises:
        ConfigError: when fsspec, or the library for this kind of URL, is missing.
    """
    if find_spec("fsspec") is None:
        raise ConfigError("expected fsspec, which reads URLs, found none; pip install 'edge-fer[remote]'")
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"expected a URL that fsspec reads, found {redact(url)}: {redact(first_line(error))}"
        ) from error


def _identity_of_url(url: str) -> str:
    system, path = file_system(url)
    try:
        found = system.info(path)
    except Exception as error:  # each kind of file system has its own
        raise SourceError(
            f"expected a recording at {redact(url)}, found: {redact(first_line(error))}; check the URL"
        ) from error
    known = {
        name: str(found[name]) for name in ("size", "ETag", "etag", "mtime", "LastModified", "md5Hash") if name in found
    }
    return ", ".join(f"{name} {value}" for name, value in sorted(known.items()))
