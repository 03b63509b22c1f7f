"""Readings as text for a person at a terminal."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edge_fer.common.text import escaped
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record, Status
from edge_fer.types import LABELS, Image

_START_OF_LINE = "\r\x1b[K"
_REMEMBERED = 2000  # ids of faces


class TextLine(Sink):
    """Shows the newest reading in place on a terminal; elsewhere, one line a reading.

    What was read last of each file of a folder stays: of pictures, a line each. Statuses have lines of their own,
    and a message is not repeated; the last one is followed by what was read, and by the times of the stages. So has
    each face that has left, but for those in pictures.

    Args:
        write: writes text to its destination; may raise OutputError.
        in_place: whether a reading overwrites the one before it, as on a terminal.
    """

    name = "stdout"

    def __init__(self, write: Callable[[str], None], *, in_place: bool) -> None:
        self._write = write
        self._in_place = in_place
        self._unfinished = False
        self._file: str | None = None
        self._last_message = ""
        self._summary = _Summary()

    def publish(self, record: Record, image: Image | None) -> None:
        """Show one record; see `edge_fer.publish.Sink.publish`."""
        if isinstance(record, Reading):
            self._summary.add(record)
            self._show(record)
        elif isinstance(record, Status):
            self._tell(record)
        elif record.source_file is None or record.last_position_ms is not None:  # nobody leaves a picture of its own
            self._write_line(f"[{record.id}] was in view for {record.duration_ms / 1e3:.1f} s: {record.summary}")

    def _tell(self, status: Status) -> None:
        if status.message != self._last_message:
            self._last_message = status.message
            self._write_line(escaped(status.message))
        if status.state == "stopping" and self._summary.frames:
            self._write_line(self._summary.text(status.dropped))
            if status.stages:
                self._write_line(_stages(status))

    def _show(self, reading: Reading) -> None:
        text = escaped(_sentence(reading))
        if not self._in_place:
            self._write_line(text)
            return
        begin = "\n" if self._unfinished and reading.source_file != self._file else _START_OF_LINE
        self._write(begin + text[: shutil.get_terminal_size().columns - 1])
        self._unfinished, self._file = True, reading.source_file

    def _write_line(self, text: str) -> None:
        self._write("\n" * self._unfinished + text + "\n")
        self._unfinished = False


class _Summary:
    """Counts what a run has read.

    Attributes:
        frames: readings.
    """

    def __init__(self) -> None:
        self.frames = self._faces = 0
        self._ids: set[int] = set()
        self._labels: Counter[str] = Counter()

    def add(self, reading: Reading) -> None:
        """Count a reading."""
        self.frames += 1
        ids = {face.id for face in reading.faces}
        self._faces += len(ids - self._ids)
        self._ids |= ids
        if len(self._ids) > _REMEMBERED:  # those that come again are among the newest
            self._ids = set(sorted(self._ids)[_REMEMBERED // 2 :])
        self._labels.update(face.label or "without a label" for face in reading.faces)

    def text(self, dropped: int) -> str:
        """One line; each face has a label in each of its frames.

        Args:
            dropped: frames that were dropped.
        """
        labels = [f"{self._labels[name]} {name}" for name in (*LABELS, "without a label") if self._labels[name]]
        seen = f": {', '.join(labels)}" if labels else ""
        return f"{_count(self.frames, 'frame')}, {dropped} dropped, {_count(self._faces, 'face')}{seen}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _sentence(reading: Reading) -> str:
    faces = "  ".join(f"[{face.id}] {face.summary}" for face in reading.faces) or "no face"
    state = f"  ({reading.reason})" if reading.degraded else ""
    rate = f"{reading.fps:5.1f} FPS  " if reading.fps else ""  # the first frame has none
    file = f"{Path(reading.source_file).name}  " if reading.source_file not in (None, reading.source) else ""
    return f"{rate}{reading.backend}{state}  {file}frame {reading.frame}  {faces}"


def _stages(status: Status) -> str:
    times = "  ".join(f"{name} {time.p50_ms:.1f}/{time.p95_ms:.1f}" for name, time in status.stages.items())
    return f"p50/p95 in ms: {times}"
