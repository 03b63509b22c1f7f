"""Opens what FFmpeg reads, and finds the film in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from edge_fer.capture.sources import MAX_PIXELS
from edge_fer.capture.sources.film.complaints import listen

_SAFE_OPTIONS = (17, 1)
_TOLERANT = (19, 0)


def open_container(
    address: str | IO[bytes], options: Mapping[str, str], timeouts_s: tuple[float, float] | None
) -> InputContainer:
    """Open a film or stream.

    Args:
        address: a URL of FFmpeg's, or an open file.
        options: FFmpeg's, for the protocol, the container and the decoder.
        timeouts_s: for opening and for reading, seconds; None: none.

    Raises:
        OSError: when it cannot be opened; its text is FFmpeg's.
    """
    # The decoder that reads the first frames while opening refuses pictures that are too large, too; with an older
    # PyAV that crashes where streams appear late, as in MPEG.
    given = {"max_pixels": str(MAX_PIXELS), **options}
    both, container = (given, {}) if _version() >= _SAFE_OPTIONS else ({}, given)
    listen()
    # Titles that are no UTF-8 are no reason to refuse a film; newer versions always bear them.
    tolerant: dict[str, Any] = {} if _version() >= _TOLERANT else {"metadata_errors": "replace"}
    try:
        opened: InputContainer = av.open(
            address, options=both, container_options=container, timeout=timeouts_s, **tolerant
        )
    except av.FFmpegError as error:
        raise OSError(error.errno, error_text(error)) from error
    return opened


def video_of(container: InputContainer) -> VideoStream:
    """The film in a container: the one that a player would show.

    Args:
        container: the container; closed where there is none.

    Raises:
        OSError: when there is none, or one that cannot be decoded or is too large.
    """
    stream = container.streams.best("video")
    trouble = _trouble_with(stream)
    if trouble is not None:
        container.close()
        raise OSError(trouble)
    assert isinstance(stream, VideoStream)
    return stream


def error_text(error: av.FFmpegError) -> str:
    """What went wrong, with the cause that FFmpeg reported where it did."""
    what, cause = str(error.strerror), str(error.log[-1]).strip() if error.log else ""
    return cause if what in cause else f"{what}: {cause}" if cause else what


def _version() -> tuple[int, ...]:
    """Of PyAV."""
    return tuple(int(part) for part in av.__version__.split(".")[:2])


def _trouble_with(stream: object) -> str | None:
    """Why this stream cannot be read; None where it can."""
    if not isinstance(stream, VideoStream):
        return "no film in it, only sound or data" if stream is None else "no film in it"
    if stream.disposition & Disposition.attached_pic:
        return "no film in it, only the picture of a cover"
    if stream.codec_context is None:
        return "a film in a format that this FFmpeg cannot decode"
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        return f"a film of {width}x{height}, more than {MAX_PIXELS // 10**6} megapixels"
    return None
