"""Opens what FFmpeg reads, and finds the film in it."""

from __future__ import annotations

from collections.abc import Mapping

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from edge_fer.capture.sources.film.complaints import listen
from edge_fer.capture.sources.film.picture import MAX_PIXELS


def open_container(address: str, options: Mapping[str, str], timeouts_s: tuple[float, float] | None) -> InputContainer:
    """Open a film or stream.

    Args:
        address: a URL of FFmpeg's.
        options: FFmpeg's, for the protocol, the container and the decoder.
        timeouts_s: for opening and for reading, seconds; None: none.

    Raises:
        OSError: when it cannot be opened; the message is FFmpeg's.
    """
    # The decoder that looks at the first frames while opening refuses pictures that are too large, too.
    options = {"max_pixels": str(MAX_PIXELS), **options}
    listen()
    try:
        return av.open(address, options=options, timeout=timeouts_s, metadata_errors="replace")
    except av.FFmpegError as error:
        raise OSError(error_text(error)) from error


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
    cause = str(error.log[-1]).strip() if error.log else ""
    return f"{error.strerror} ({cause})" if cause and cause != error.strerror else str(error.strerror)


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
        return f"a film of {width}x{height}, and at most {MAX_PIXELS // 10**6} megapixels are read"
    return None
