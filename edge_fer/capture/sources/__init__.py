"""Where frames come from: one file for each kind of source; its name decides which one is opened (`open_source.py`).

Cameras and streams are `live`: they hand over their newest frame and may be lost and come back. Each runs in a child
process, since opening and reading it can block or crash. Files are read frame by frame in this process.

Every URL is taken for a live stream, since none says whether it ends: one that does is opened again, so a clip behind
`http://` is played over and over. Only `file:///path` means the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # a camera's child process imports this package and should start fast
    from edge_fer.types import Image

USUAL_FPS = 30.0
"""Frames a second of films that do not state their rate."""


MAX_PIXELS = 1 << 26
"""No picture may have more, 67 million: some telephones take 9248x6936."""


class SourceFrame(NamedTuple):
    """A frame as a source gives it.

    Attributes:
        image: `(height, width, 3)` uint8, BGR; a new array.
        captured_ns: CLOCK_MONOTONIC at capture, nanoseconds; of a file, when it was read.
        position_ns: presentation time in the file, nanoseconds; None for cameras, streams, and single pictures.
        file: the file that the frame is from, printable; None for cameras, streams, and what is drawn.
        dropped: how many frames this one has overtaken, which had come and were not read yet.
    """

    image: Image
    captured_ns: int
    position_ns: int | None = None
    file: str | None = None
    dropped: int = 0


class Source(Protocol):
    """One camera, stream or file.

    Attributes:
        name: the name that the settings give it, without credentials.
        live: whether it goes on by itself; a live source raises SourceLost when it stops.
        fps: frames a second; None where unknown, as for some live sources, and for pictures that are no film.
    """

    name: str
    live: bool
    fps: float | None

    @property
    def skipped(self) -> int:
        """How many pictures could not be read and were left out."""
        ...

    def read(self) -> SourceFrame | None:
        """Read the next frame; None at the end of a file.

        Raises:
            SourceLost: when a live source stopped; it is of no use any more, but may be opened again.
            SourceError: when a file cannot be read.
        """
        ...

    def close(self) -> None:
        """Give the device or file back."""
        ...
