"""A file or folder that is played over and over."""

from __future__ import annotations

from collections.abc import Callable

from edge_fer.capture.sources import Source, SourceFrame
from edge_fer.errors import SourceError, SourceLost


class Loop:
    """Opens a source again whenever it is at its end.

    Args:
        opener: opens the source.
    """

    live = False

    def __init__(self, opener: Callable[[], Source]) -> None:
        self._opener = opener
        self._source = opener()
        self._skipped_before = 0
        self.name, self.fps = self._source.name, self._source.fps

    @property
    def skipped(self) -> int:
        """How many pictures were left out so far, in all passes."""
        return self._skipped_before + self._source.skipped

    def read(self) -> SourceFrame | None:
        """Read the next frame: after the last one, the first; see `edge_fer.capture.sources.Source.read`.

        Raises:
            SourceLost: when it cannot be opened again.
        """
        taken = self._source.read()
        if taken is None:
            self._source.close()
            try:
                following = self._opener()
            except SourceError as error:  # it was played once, so it may come back: a disk, or files to open
                raise SourceLost(str(error)) from error
            self._skipped_before += self._source.skipped
            self._source = following
            taken = self._source.read()
        return taken

    def close(self) -> None:
        """Close the source."""
        self._source.close()
