"""Readings as text for a person at a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from edge_fer.common.text import escaped
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record, Status
from edge_fer.types import Image

_START_OF_LINE = "\r\x1b[K"


class TextLine(Sink):
    """Shows the newest reading in place on a terminal; elsewhere, one line a reading.

    Statuses have lines of their own, and a message is not repeated; the last one is followed by the times of the
    stages.

    Args:
        write: writes text to its destination; may raise OutputError.
        in_place: whether a reading overwrites the one before it, as on a terminal.
    """

    name = "stdout"

    def __init__(self, write: Callable[[str], None], *, in_place: bool) -> None:
        self._write = write
        self._in_place = in_place
        self._unfinished = False
        self._last_message = ""

    def publish(self, record: Record, image: Image | None) -> None:
        """Show one record; see `edge_fer.publish.Sink.publish`."""
        if isinstance(record, Reading):
            self._show(escaped(_sentence(record)))
        elif record.message != self._last_message:
            self._last_message = record.message
            self._write_line(escaped(record.message))
        if isinstance(record, Status) and record.state == "stopping" and record.stages:
            self._write_line(_stages(record))

    def _show(self, text: str) -> None:
        if self._in_place:
            self._write(_START_OF_LINE + text[: shutil.get_terminal_size().columns - 1])
            self._unfinished = True
        else:
            self._write(text + "\n")

    def _write_line(self, text: str) -> None:
        self._write("\n" * self._unfinished + text + "\n")
        self._unfinished = False


def _sentence(reading: Reading) -> str:
    faces = "  ".join(f"[{face.id}] {face.summary}" for face in reading.faces) or "no face"
    state = f"  ({reading.reason})" if reading.degraded else ""
    rate = f"{reading.fps:5.1f} FPS  " if reading.fps else ""  # the first frame has none
    return f"{rate}{reading.backend}{state}  frame {reading.frame}  {faces}"


def _stages(status: Status) -> str:
    times = "  ".join(f"{name} {time.p50_ms:.1f}/{time.p95_ms:.1f}" for name, time in status.stages.items())
    return f"p50/p95 in ms: {times}"
