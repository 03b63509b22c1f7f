"""One recording, or a stretch of it, frame by frame: from a file, or from a URL through fsspec."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, Any, cast

from edge_fer.archive.recordings import Recording, file_system
from edge_fer.capture.sources import USUAL_FPS, SourceFrame
from edge_fer.capture.sources.file_kind import file_kind, open_file
from edge_fer.capture.sources.film import require_pyav
from edge_fer.capture.sources.film.film import Film, FilmFrame
from edge_fer.common.exhaustion import HINT, is_exhausted
from edge_fer.common.text import first_line, redact
from edge_fer.errors import SourceError

_REPLACE = "the file is cut short, damaged, or of another kind: replace it"
_BLOCK_BYTES = 1 << 22  # are fetched of a URL at a time


class FilmReader:
    """A film as a source of frames, decoded by one thread: what a damaged frame looks like depends on their number.

    Args:
        recording: the recording.
        from_ns: where reading begins, presentation time in nanoseconds: at that frame, which must be a key frame.
        warn: called with one line about colours that are not true.

    Attributes:
        name: its address, printable.
        fps: frames a second as the film states them, or 30 where that cannot be true.
        length: how many frames it states; None where it does not.
        recorded_at: when it was recorded, as it states it; None where it does not.

    Raises:
        ConfigError: when a library is missing.
        SourceError: when it cannot be read.
    """

    live = False

    def __init__(
        self, recording: Recording, from_ns: int | None = None, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        require_pyav()
        self.name = recording.shown
        with ExitStack() as stack:
            self._remote: RemoteFile | None = None
            if recording.is_url:
                self._remote = stack.enter_context(RemoteFile(recording.address))
                film = self._opened(cast("IO[bytes]", self._remote), {}, warn)
            else:
                kind = file_kind(recording.path)
                if kind == "picture":
                    raise SourceError(f"expected a film in {self.name}, found a picture; edge-fer run reads pictures")
                with open_file(recording.path) as file:
                    film = self._opened("fd:", {"fd": str(file.fileno())}, warn)
            stack.callback(film.close)
            self._film = film
            self._frames = self._from(from_ns)
            self._close = stack.pop_all().close
        self.fps: float | None = film.fps or USUAL_FPS
        self.length, self.recorded_at = film.length, film.recorded_at

    @property
    def skipped(self) -> int:
        """How many frames could not be decoded so far."""
        return self._film.lost

    @property
    def damaged(self) -> int:
        """How many of the frames so far are shown with damage."""
        return self._film.damaged

    @property
    def broken(self) -> str | None:
        """Why it ended before its end; None where it did not."""
        return self._film.broken

    def read(self) -> SourceFrame | None:
        """Read the next frame; see `edge_fer.capture.sources.Source.read`.

        Raises:
            SourceError: when there is no frame at all in it, or a URL can no longer be read.
        """
        frame = next(self._frames, None)
        self._check_remote()
        if frame is not None:
            return SourceFrame(frame.image, time.monotonic_ns(), frame.position_ns, self.name)
        if not self._film.count:
            raise self._unreadable(self._film.unreadable or self._film.broken or "no frame")
        return None

    def index(self) -> tuple[list[int], list[int]]:
        """See `Film.index`; instead of `read`."""
        positions = self._film.index()
        self._check_remote()
        return positions

    def close(self) -> None:
        """Close the file."""
        self._close()

    def _opened(self, address: str | IO[bytes], options: dict[str, str], warn: Callable[[str], None]) -> Film:
        try:
            return Film(address, live=False, options=options, threads=1, warn=lambda text: warn(f"{self.name}: {text}"))
        except OSError as error:
            self._check_remote()
            hint = HINT if is_exhausted(error) else _REPLACE
            raise self._unreadable(error.strerror or str(error), hint) from error

    def _from(self, from_ns: int | None) -> Iterator[FilmFrame]:
        """The frames from a key frame on: those that lead up to it, which may be incomplete, are left out."""
        if from_ns is not None:
            try:
                self._film.seek(from_ns)
            except OSError as error:
                raise self._unreadable(f"no way to go to {from_ns / 1e9:.0f} s: {error}") from error
        frames = self._film.frames()
        return frames if from_ns is None else (frame for frame in frames if frame.position_ns >= from_ns)

    def _check_remote(self) -> None:
        if self._remote is not None and self._remote.error is not None:
            raise SourceError(
                f"expected to read {self.name} to its end, found: {redact(first_line(self._remote.error))}; "
                "run the command again"
            ) from self._remote.error

    def _unreadable(self, reason: str, hint: str = _REPLACE) -> SourceError:
        return SourceError(f"expected a film in {self.name}, found one that cannot be read ({redact(reason)}); {hint}")


class RemoteFile(io.RawIOBase):
    """A file behind a URL, which remembers why it could not be read: FFmpeg would take that for the film's end.

    Args:
        url: the URL.

    Attributes:
        error: what reading failed with; None while it has not.

    Raises:
        SourceError: when it cannot be opened.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.error: Exception | None = None
        system, path = file_system(url)
        try:
            self._file: Any = system.open(path, "rb", block_size=_BLOCK_BYTES)
        except Exception as error:  # each kind of file system has its own
            raise SourceError(
                f"expected a recording at {redact(url)}, found: {redact(first_line(error))}; check the URL"
            ) from error

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes; see `io.RawIOBase.read`."""
        try:
            content: bytes = self._file.read(size)
        except Exception as error:  # each kind of file system has its own
            self.error = error
            return b""  # the end, as far as FFmpeg is concerned; whoever reads the film asks for `error`
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; see `io.RawIOBase.seek`."""
        place: int = self._file.seek(offset, whence)
        return place

    def tell(self) -> int:
        """The place; see `io.RawIOBase.tell`."""
        place: int = self._file.tell()
        return place

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from any place."""
        return bool(self._file.seekable())

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            self._file.close()
        super().close()
