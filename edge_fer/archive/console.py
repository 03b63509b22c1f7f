"""How a job goes, for a person: a bar on a terminal, else a line for each recording; and what it came to."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edge_fer.archive.label_archive import Summary
from edge_fer.archive.others import ADVICE
from edge_fer.archive.timeline import SHOWN
from edge_fer.common.closeable import Closeable
from edge_fer.common.text import counted, printable

_NAMED = 3  # recordings of other settings; the page names them all
_ALMOST = 0.99  # of a recording whose frames are all read: its tables are still to be written


class ConsoleShown(Closeable):
    """Shows a job; see `label_archive.Shown`.

    Args:
        console: where.
        clock: a clock in seconds.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock, self._began_at = clock, clock()
        self._bar = Progress(
            TextColumn("recordings"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("frames: {task.fields[frames]:,}, {task.fields[rate]:.0f} a second"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("recordings", total=None, frames=0, rate=0.0)
        self._shares: dict[str, float] = {}
        self._total = self._done = self._frames = 0

    def begin(self, recordings: int, known: int) -> None:
        """See `Shown.begin`."""
        self._total = self._done + recordings  # some may have failed already
        self._began_at = self._clock()
        if known:
            self._say(f"{counted(known, 'recording')} read before, left alone")
        self._bar.update(self._task, total=self._total)
        self._bar.start()

    def frames(self, recording: str, frames: int, length: int | None) -> None:
        """See `Shown.frames`."""
        self._frames += frames
        if length:
            self._shares[recording] = min(self._shares.get(recording, 0.0) + frames / length, _ALMOST)
        self._update()

    def done(self, recording: str, problem: str | None) -> None:
        """See `Shown.done`."""
        self._done += 1
        self._shares.pop(recording, None)
        if problem is not None:
            self._say(f"{printable(recording)}: {problem}")
        elif not self._console.is_terminal:
            self._say(f"{self._done} of {self._total}: {printable(recording)}")
        self._update()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def _update(self) -> None:
        rate = self._frames / max(self._clock() - self._began_at, 1e-9)
        done = self._done + sum(self._shares.values())
        self._bar.update(self._task, completed=done, frames=self._frames, rate=rate)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def print_summary(summary: Summary, console: Console | None = None) -> None:
    """Print what a job came to.

    Args:
        summary: see there.
        console: where; None: standard output.
    """
    console = console or Console()
    records = summary.records.values()
    table = Table(box=None, show_header=False)
    broken = sum(one.problem is not None for one in records)
    rows = {
        "recordings": f"{len(records)} in tables, {summary.known} of them from before; {len(summary.failed)} failed",
        "duration": str(timedelta(seconds=round(sum(one.duration_ms for one in records) / 1e3))),
        "of other jobs": f"{len(summary.others):,} more in this folder" if summary.others else "",
        "of other settings": _differing(summary),
        "read in part": f"{broken}, as failed.csv says" if broken else "",
        "frames": f"{sum(one.frames for one in records):,}; {sum(one.frames_lost for one in records):,} not readable",
        "faces": f"{sum(one.faces for one in records):,} in {counted(sum(one.tracks for one in records), 'track')}",
        "shown": ", ".join(f"{name or 'no label'} {share:.0%}" for name, share in shares(summary).items() if share),
    }
    for name, text in rows.items():
        if text:
            table.add_row(name, text)
    console.print(table)


def _differing(summary: Summary) -> str:
    found = summary.differing
    if not found:
        return ""
    named = "; ".join(f"{printable(name)} ({how})" for name, how in list(found.items())[:_NAMED])
    more = f"; and {len(found) - _NAMED:,} more, which report.html names" if len(found) > _NAMED else ""
    return f"{len(found):,} of them: {named}{more}; {ADVICE}"


def shares(summary: Summary) -> dict[str | None, float]:
    """The part of the time of all faces during which each label, and none, was shown; empty without faces."""
    times = [
        sum(one[place] for record in summary.records.values() for one in record.bins) for place in range(len(SHOWN))
    ]
    total = sum(times)
    return {label: time_ms / total for label, time_ms in zip(SHOWN, times, strict=True)} if total else {}
