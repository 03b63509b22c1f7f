"""Where frames come from: one file a kind of source, opened by the way it is named.

Cameras and streams are `live`: they hand over their newest frame and may be lost and come
back; each runs in a child process, since its open and read can block or crash. Files are read
frame by frame in this process.

Every URL is taken for a live stream, since none says whether it ends: one that does is opened
again, so a clip behind `http://` is played over and over. Only `file:///path` means the path.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import unquote

from edge_fer.errors import SourceError

if TYPE_CHECKING:  # a camera's child process imports this package, and should not wait for these
    from edge_fer.settings import CaptureSettings
    from edge_fer.types import Image

SourceKind = Literal["v4l2", "picamera2", "stream", "raw", "picture", "folder", "video", "sample", "synthetic"]

_LIVE: tuple[SourceKind, ...] = ("v4l2", "stream", "raw")
_URL = r"[a-z][a-z0-9+.-]*://.*"
_NAMES: tuple[tuple[str, SourceKind], ...] = (
    ("(?-i:sample)", "sample"),
    ("(?-i:synthetic:.*)", "synthetic"),
    (r"(?-i:picamera2(:\d{1,2})?)", "picamera2"),
    ("-", "raw"),
    (_URL, "stream"),
    ("[0-9]+|(?-i:/dev/.*)", "v4l2"),
)
"""What is no name of a file: patterns, and what they mean."""
USUAL_FPS = 30.0
"""Of films that do not say theirs."""

_SECRETS = "pass|pwd|token|key|secret|auth|sig|cred"  # what names of fields with one have in them
_HARMLESS = "w|h|width|height|size|res|resolution|fps|rate|channel|camera|stream|subtype|profile|codec|quality|action"


class Source(Protocol):
    """One camera, stream or file.

    Attributes:
        name: as it was named, without credentials.
        live: whether it goes on by itself; a live source raises SourceLost when it stops.
        fps: frames a second; null where unknown: of a live source, or of pictures that are no film.
    """

    name: str
    live: bool
    fps: float | None

    @property
    def skipped(self) -> int:
        """Pictures that could not be read and were left out."""
        ...

    def read(self) -> tuple[Image, int] | None:
        """The next frame, or null at the end.

        Returns:
            A new `(height, width, 3)` uint8 array, BGR, and its capture time (CLOCK_MONOTONIC, ns).

        Raises:
            SourceLost: when a live source stopped; it is of no use any more, but may be opened again.
            SourceError: when a file cannot be read.
        """
        ...

    def close(self) -> None:
        """Give the device or file back."""
        ...


def open_source(
    settings: CaptureSettings,
    cancelled: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = lambda _: None,
) -> Source:
    """Open the source that the settings name.

    Args:
        settings: its name, and what is asked of it.
        cancelled: asked while a live source is waited for; when true, opening or reading fails at once.
        warn: told, in one line each, about pictures that are left out.

    Raises:
        SourceError: when it is missing, busy, or not what its name says.
    """
    kind = kind_of(settings.source)
    named = settings.model_copy(update={"source": path_of(settings.source)})
    if kind == "picamera2":
        from edge_fer.capture.sources.picamera2 import open_picamera2

        return open_picamera2(named, cancelled)
    from edge_fer.capture.sources.oriented import upright

    source = _open_live(kind, named, cancelled) if kind in _LIVE else _open_file(kind, named, warn)
    return upright(source, hflip=settings.hflip, vflip=settings.vflip, rotate=settings.rotate)


def _open_live(kind: SourceKind, settings: CaptureSettings, cancelled: Callable[[], bool]) -> Source:
    if kind == "v4l2":
        from edge_fer.capture.sources.v4l2.source import open_v4l2

        return open_v4l2(settings, cancelled)
    if kind == "stream":
        from edge_fer.capture.sources.stream import open_stream

        return open_stream(settings, cancelled)
    from edge_fer.capture.sources.raw import Raw

    return Raw(settings, cancelled)


def _open_file(kind: SourceKind, settings: CaptureSettings, warn: Callable[[str], None]) -> Source:
    if settings.loop:
        from edge_fer.capture.sources.loop import Loop

        once = settings.model_copy(update={"loop": False})
        return Loop(lambda: _open_file(kind, once, warn))
    path = Path(settings.source)
    if kind == "sample":
        from edge_fer.capture.sources.sample import open_sample

        return open_sample()
    if kind == "synthetic":
        from edge_fer.capture.sources.synthetic import Synthetic

        return Synthetic(settings.source)
    if kind == "folder":
        from edge_fer.capture.sources.folder import Folder

        return Folder(path, warn)
    if kind == "picture":
        from edge_fer.capture.sources.picture import Picture

        return Picture(path)
    from edge_fer.capture.sources.video import Video

    return Video(path)


def kind_of(source: str) -> SourceKind:
    """Which kind of source a name means.

    Raises:
        SourceError: when it means none.
    """
    name = path_of(source)
    for pattern, kind in _NAMES:
        if re.fullmatch(pattern, name, re.IGNORECASE | re.DOTALL):
            return kind
    mode = mode_of(Path(name))
    if mode is None:
        raise SourceError(
            "expected a camera index, device path, `picamera2`, picture, video, folder, URL, `-`, `sample` or "
            f"`synthetic:3`, found no file {redact(name)!r}; check the path"
        )
    if stat.S_ISCHR(mode):
        return "v4l2"
    if stat.S_ISDIR(mode):
        return "folder"
    if not stat.S_ISREG(mode):  # opening a pipe could block for ever
        raise SourceError(
            f"expected a camera, picture, video or folder at {redact(name)}, found a pipe, socket or disk; "
            "save what comes from it to a file first, or send raw frames to --camera -"
        )
    import cv2

    from edge_fer.capture.sources.picture import hush_opencv

    hush_opencv()
    return "picture" if cv2.haveImageReader(name) else "video"


def path_of(source: str) -> str:
    """A source's name as it is, but for `file:///path` the path.

    Raises:
        SourceError: when it is empty, has bytes that are no UTF-8, or is a `file:` URL without a path.
    """
    if not source:
        raise SourceError("expected a camera index, path or URL, found an empty name; see --camera")
    try:
        source.encode()
    except UnicodeEncodeError as error:  # OpenCV crashes on such names, and JSON cannot carry them
        raise SourceError(
            f"expected a name in UTF-8, found other bytes in {redact(source)}; rename the file"
        ) from error
    if not source.lower().startswith("file://"):
        return source
    match = re.fullmatch(r"file://(?:localhost)?(/.*)", source, re.IGNORECASE | re.DOTALL)
    if match is None:
        raise SourceError(
            f"expected a URL such as file:///folder/clip.mp4, found {redact(source)}; name the whole path"
        )
    return unquote(match[1])


def mode_of(path: Path) -> int | None:
    """Type and permissions of what lies at a path; null where nothing does.

    Raises:
        SourceError: when this user may not look, or no file can have such a name.
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


def is_index(source: str) -> bool:
    """Whether a source is named by a camera's number."""
    return source.isascii() and source.isdigit()


def printable(text: str) -> str:
    """A text on one line that every encoder of UTF-8 takes: bytes of file names that are none are spelt out."""
    return " ".join(text.split()).encode(errors="backslashreplace").decode()


def redact(text: str) -> str:
    """A printable text without the user names, passwords and keys of URLs in it.

    A password may hold any character, so all between a word's first colon and its last @ is taken
    for one, as is what follows `password=`, `token=` and the like up to the next `&`. Cameras have many
    names for it: of a query all is hidden that is not known to be harmless.
    """
    hidden = re.sub(r":(/*)\S*@", r":\1***@", printable(text))
    hidden = re.sub(rf"((?:{_SECRETS})[\w-]*=)[^&\s]*", r"\1***", hidden, flags=re.IGNORECASE)
    return re.sub(rf"([?&](?!(?:{_HARMLESS})=)[^=&\s]*=)[^&\s]*", r"\1***", hidden, flags=re.IGNORECASE)
