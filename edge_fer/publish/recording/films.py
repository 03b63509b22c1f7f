"""One film after the other, each not longer and not larger than it may be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from edge_fer.publish.recording.bounds import Bounds
from edge_fer.publish.recording.film import Film
from edge_fer.publish.recording.new_file import FileMaker, NewFile
from edge_fer.publish.recording.provenance import Content, Provenance
from edge_fer.publish.recording.timeline import Timeline
from edge_fer.schema import Reading
from edge_fer.settings.recording_name import Segment
from edge_fer.types import Image


class Films:
    """Writes pictures into films.

    Args:
        maker: makes their files.
        bounds: enforced before each film.
        longest: when a film ends and the next one begins.
        now: the local time.
        content: what its pictures show.
    """

    def __init__(
        self, maker: FileMaker, bounds: Bounds, longest: Segment, now: Callable[[], datetime], content: Content
    ) -> None:
        self._maker, self._bounds, self._longest, self._now = maker, bounds, longest, now
        self._content = content
        self._film: Film | None = None
        self._file: NewFile | None = None
        self._timeline = Timeline()

    def write(self, reading: Reading, picture: Image) -> None:
        """Write the picture of a reading, `(height, width, 3)` uint8, BGR.

        Raises:
            OutputError: when there is too little space, or the film is gone.
            OSError: when it cannot be written.
        """
        at_ms = self._timeline.at(reading)
        if self._film is not None and self._is_long(self._film, at_ms):
            self.close()
        if self._film is None:
            self._film, at_ms = self._open(reading, picture), self._timeline.at(reading)
        assert self._file is not None
        self._file.check()
        self._film.write(picture, at_ms, self._timeline.step_ms)

    def close(self) -> None:
        """Complete the film, if there is one.

        Raises:
            OSError: when its end cannot be written; what was written is kept.
        """
        film, self._film = self._film, None
        if film is not None:
            film.close()

    def _is_long(self, film: Film, at_ms: float) -> bool:
        seconds, size = self._longest
        return (seconds is not None and at_ms >= seconds * 1000) or (size is not None and film.written >= size)

    def _open(self, reading: Reading, picture: Image) -> Film:
        self._bounds.enforce(room=self._longest.size or 0, lasts_s=self._longest.seconds or 0)
        self._timeline = Timeline()
        self._file = file = self._maker.make(self._now())
        try:
            comment = Provenance(run=reading.run, frame=reading.frame, content=self._content).comment()
            return Film(file, (picture.shape[1], picture.shape[0]), comment)
        except Exception:
            file.discard()
            raise
