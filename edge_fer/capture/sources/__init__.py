"""Where frames come from: one file a kind of source, opened by the way it is named (`open_source.py`).

Cameras and streams are `live`: they hand over their newest frame and may be lost and come
back; each runs in a child process, since its open and read can block or crash. Files are read
frame by frame in this process.

Every URL is taken for a live stream, since none says whether it ends: one that does is opened
again, so a clip behind `http://` is played over and over. Only `file:///path` means the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a camera's child process imports this package, and should not wait for it
    from edge_fer.types import Image

USUAL_FPS = 30.0
"""Of films that do not say theirs."""


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
