"""Opens a source; its name decides which kind it is."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

from edge_fer.capture.sources import Source
from edge_fer.common.files import mode_of
from edge_fer.common.text import redact
from edge_fer.errors import SourceError
from edge_fer.settings import CaptureSettings
from edge_fer.settings.addresses import SOURCE_NAMES, SourceKind, path_of

_LIVE: tuple[SourceKind, ...] = ("v4l2", "http", "stream", "raw")


def open_source(
    settings: CaptureSettings,
    cancelled: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = lambda _: None,
) -> Source:
    """Open the source that the settings name.

    Args:
        settings: the source's name, and the size, rate and so on that it should have.
        cancelled: called again and again while waiting for a live source; once it returns true, opening or reading
            fails at once.
        warn: called with one line about each picture that is left out, and about whatever else is not as it should be.

    Raises:
        SourceError: when it is missing, busy, or not what its name says.
    """
    kind = kind_of(settings.source)
    named = settings.model_copy(update={"source": path_of(settings.source)})
    if kind == "picamera2":
        from edge_fer.capture.sources.picamera2 import open_picamera2

        return open_picamera2(named, cancelled)
    from edge_fer.capture.sources.oriented import oriented

    source = _open_live(kind, named, cancelled, warn) if kind in _LIVE else _open_file(kind, named, warn)
    return oriented(source, hflip=settings.hflip, vflip=settings.vflip, rotate=settings.rotate)


def _open_live(
    kind: SourceKind, settings: CaptureSettings, cancelled: Callable[[], bool], warn: Callable[[str], None]
) -> Source:
    if kind == "v4l2":
        from edge_fer.capture.sources.v4l2.source import open_v4l2

        return open_v4l2(settings, cancelled)
    if kind == "http":
        from edge_fer.capture.sources.http_camera.source import open_http_camera

        return open_http_camera(settings, cancelled)
    if kind == "stream":
        from edge_fer.capture.sources.stream import open_stream

        return open_stream(settings, cancelled, warn)
    from edge_fer.capture.sources.raw import Raw

    return Raw(settings, cancelled, warn)


def _open_file(kind: SourceKind, settings: CaptureSettings, warn: Callable[[str], None]) -> Source:
    if settings.loop:
        from edge_fer.capture.sources.loop import Loop

        once = settings.model_copy(update={"loop": False})
        return Loop(lambda: _open_file(kind, once, warn))
    path = Path(settings.source)
    if kind == "sample":
        from edge_fer.capture.sources.sample import open_sample

        return open_sample(warn)
    if kind == "synthetic":
        from edge_fer.capture.sources.synthetic import Synthetic

        return Synthetic(settings.source)
    if kind == "folder":
        from edge_fer.capture.sources.folder import Folder

        return Folder(path, lambda file: _open_path(file, warn), warn)
    return _open_path(path, warn)


def _open_path(path: Path, warn: Callable[[str], None]) -> Source:
    """Open a picture or film."""
    from edge_fer.capture.sources.file_kind import file_kind

    if file_kind(path) == "picture":
        from edge_fer.capture.sources.picture import Picture

        return Picture(path)
    from edge_fer.capture.sources.video import Video

    return Video(path, warn=warn)


def kind_of(source: str) -> SourceKind:
    """The kind of source that a name stands for.

    Args:
        source: the name, as in the setting `capture.source`.

    Raises:
        SourceError: when it stands for none.
    """
    name = path_of(source)
    for pattern, kind in SOURCE_NAMES:
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
    from edge_fer.capture.sources.file_kind import file_kind

    return file_kind(Path(name))
