"""A video file, frame by frame."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_fer.capture.sources import USUAL_FPS, SourceFrame
from edge_fer.capture.sources.file_kind import open_file
from edge_fer.capture.sources.film import require_pyav
from edge_fer.common.exhaustion import HINT, is_exhausted
from edge_fer.common.text import counted, printable
from edge_fer.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_fer.capture.sources.film.film import FilmFrame

_MAX_LOST = 300
"""After so many frames in a row that cannot be decoded a file is given up: at the usual settings of H.264 a frame may
depend on any of the 250 before it."""
_REPLACE = "the file is cut short, damaged, or of another kind: replace it"


class Video:
    """A video file. Frames that cannot be decoded are left out and counted.

    Args:
        path: the file.
        name: the name for messages; None: the path.
        warn: called with one line about damage, and about colours that are not true.
        max_lost: after so many frames in a row that cannot be decoded the file counts as broken.

    Attributes:
        fps: frames a second as the file states them, or 30 where that cannot be true.

    Raises:
        ConfigError: when PyAV is missing.
        SourceError: when the file cannot be read, or has no frame that can be decoded.
    """

    live = False

    def __init__(
        self,
        path: Path,
        name: str | None = None,
        *,
        warn: Callable[[str], None] = lambda _: None,
        max_lost: int = _MAX_LOST,
    ) -> None:
        require_pyav()
        from edge_fer.capture.sources.film.film import Film

        self.name = printable(name or str(path))
        self._warn, self._is_told = warn, False
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                # FFmpeg gets no name, from which it would guess what is in the file, or what it should open instead.
                self._film = Film(
                    "fd:", live=False, options={"fd": str(file.fileno())}, warn=self._told, max_lost=max_lost
                )
            except OSError as error:
                reason = error.strerror or str(error)
                hint = HINT if is_exhausted(error) else _REPLACE
                raise _unreadable(self.name, size, reason, hint) from error
        self.fps: float | None = self._film.fps or USUAL_FPS
        self._frames: Iterator[FilmFrame] = self._film.frames()
        self._first = next(self._frames, None)
        if self._first is None:
            self._film.close()
            raise _unreadable(self.name, size, self._film.unreadable or self._film.broken or "no frame")

    @property
    def skipped(self) -> int:
        """How many frames could not be decoded so far."""
        return self._film.lost

    def read(self) -> SourceFrame | None:
        """Read the next frame; see `edge_fer.capture.sources.Source.read`.

        Raises:
            SourceError: at the end of a film that breaks off.
        """
        frame, self._first = self._first or next(self._frames, None), None
        if frame is not None:
            return SourceFrame(frame.image, time.monotonic_ns(), frame.position_ns, self.name)
        self._check_end()
        return None

    def close(self) -> None:
        """Close the file."""
        self._tell_damage()
        self._film.close()

    def _check_end(self) -> None:
        """Tell of damage; raise SourceError when the film breaks off."""
        self._tell_damage()
        if self._film.broken is not None:
            raise SourceError(
                f"expected the whole of {self.name}, found that it breaks off after {self._film.count} frames "
                f"({self._film.broken}); the file is cut short or damaged: replace it"
            )

    def _tell_damage(self) -> None:
        """Tell once what the decoder tells of frames that are not as they were filmed."""
        film = self._film
        if not self._is_told and (film.complaints or film.lost or film.damaged):
            self._is_told = True
            self._told(
                f"the film is damaged: {counted(film.lost, 'frame')} left out, {film.damaged} of {film.count} shown "
                f"with damage, {counted(film.complaints, 'error')} of the decoder; replace the file where that matters"
            )

    def _told(self, message: str) -> None:
        self._warn(f"{self.name}: {message}")


def _unreadable(name: str, size: int, reason: str, hint: str = _REPLACE) -> SourceError:
    return SourceError(
        f"expected a picture or a video in {name}, found {size} bytes that cannot be decoded ({reason}); {hint}"
    )
