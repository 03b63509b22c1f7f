"""Records as lines of JSON."""

from __future__ import annotations

from collections.abc import Callable

from edge_fer.publish import Sink
from edge_fer.schema import Record, to_json
from edge_fer.types import Image


class JsonLines(Sink):
    """Writes each record as one line, at once.

    Args:
        write: writes text to its destination; may raise OutputError.
    """

    name = "stdout"

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def publish(self, record: Record, image: Image | None) -> None:
        """Write one record; see `edge_fer.publish.Sink.publish`."""
        self._write(to_json(record) + "\n")
