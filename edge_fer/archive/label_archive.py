"""The job: which recordings are left to read, the tasks that each takes, and what became of them."""

from __future__ import annotations

import csv
import io
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge_fer import errors
from edge_fer.archive.columns import TABLES
from edge_fer.archive.engines import Done, Engine
from edge_fer.archive.job import Job
from edge_fer.archive.labelling import Part
from edge_fer.archive.layout import Layout, key_of, writing
from edge_fer.archive.others import find_others
from edge_fer.archive.record import RecordingRecord, read_record
from edge_fer.archive.recordings import Recording
from edge_fer.archive.segments import Segment
from edge_fer.archive.tasks import Cut, Failure, Join, Label, Outcome, Task, Whole
from edge_fer.errors import ConfigError, EdgeFerError, OutputError, SourceError
from edge_fer.publish.locked_file import open_locked

_LOOK_S = 0.5  # what is shown is as old as this at most


class Shown(Protocol):
    """Shows how a job goes."""

    def begin(self, recordings: int, known: int) -> None:
        """So many recordings are to be read; so many were, before."""
        ...

    def frames(self, recording: str, frames: int, length: int | None) -> None:
        """So many more frames of a recording are done, of so many."""
        ...

    def done(self, recording: str, problem: str | None) -> None:
        """A recording is done; the problem is why it could not be read, or not all of it."""
        ...


@dataclass
class Summary:
    """What a job came to.

    Attributes:
        records: of all recordings that have tables, by name.
        known: how many of them an earlier job has read.
        others: other recordings that have tables in the folder, and in what these differ; see `find_others`.
        failed: why others could not be read, by name.
        sources: the address of each recording, by name.
    """

    records: dict[str, RecordingRecord] = field(default_factory=dict)
    known: int = 0
    others: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def differing(self) -> dict[str, str]:
        """Those of the others that were read in another way, and in which, by name."""
        return {name: how for name, how in self.others.items() if how}

    @property
    def problems(self) -> dict[str, tuple[str, str]]:
        """Whether a recording has `failed` or is `incomplete`, and why, by name."""
        incomplete = {
            name: ("incomplete", one.problem) for name, one in self.records.items() if one.problem is not None
        }
        return dict(sorted({**incomplete, **{name: ("failed", why) for name, why in self.failed.items()}}.items()))


def label_archive(
    job: Job,
    recordings: Sequence[Recording],
    open_engine: Callable[[], Engine],
    shown: Shown,
    *,
    resume: bool = True,
) -> Summary:
    """Read recordings into tables.

    Args:
        job: what is done with each.
        recordings: all of them.
        open_engine: opens what runs the tasks.
        shown: shows how it goes.
        resume: leave alone what an equal job has read already.

    Raises:
        ConfigError: when another job is at work in the folder.
        OutputError: when the folder cannot be written.
        EdgeFerError: when something fails that all recordings need.
    """
    layout = Layout.of(job)
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        lock = open_locked(layout.lock)
    except OSError as error:
        raise OutputError(f"expected to write to {job.out}, found: {error.strerror}; choose another --out") from error
    if lock is None:
        raise ConfigError(
            f"expected no other job in {job.out}, found one at work; wait until it has ended, or choose another --out"
        )
    with lock:
        run = _Run(job, layout, shown)
        pending = run.look(recordings, resume=resume)
        shown.begin(len(pending), run.summary.known)
        try:
            if pending:
                with open_engine() as engine:
                    run.work(pending, engine)
        finally:
            write_failed(layout.failed, run.summary)
            with suppress(OSError):  # parts of what failed are kept for the next job
                layout.parts.rmdir()
        run.summary.others = find_others(layout, job, run.summary.records)
        return run.summary


class _Run:
    """One job under way."""

    def __init__(self, job: Job, layout: Layout, shown: Shown) -> None:
        self.summary = Summary()
        self._job, self._layout, self._shown = job, layout, shown
        self._left: dict[str, set[Segment]] = {}  # of each recording that was cut, what is not read yet
        self._segments: dict[str, tuple[Segment, ...]] = {}

    def look(self, recordings: Sequence[Recording], *, resume: bool) -> list[Recording]:
        """Find out what is left to do; what an earlier job left half-done, and is of no use, is removed."""
        pending, keys = list[Recording](), set[str]()
        for recording in recordings:
            self.summary.sources[recording.name] = recording.shown
            try:
                identity = recording.identity()
            except SourceError as error:
                self._fail(recording, str(error))
                continue
            key = key_of(recording, identity, self._job)
            known = read_record(self._layout.record(recording.name)) if resume else None
            if (
                known is not None
                and known.key == key
                and all(map(Path.exists, self._layout.tables(known.recording).values()))
            ):
                self.summary.records[recording.name] = known
                self.summary.known += 1
            elif known is not None and known.identity != identity and known.source != recording.shown:
                self._fail(
                    recording,
                    f"expected no tables of another recording of this name, found those of {known.source}; choose "
                    "another --out, or replace them by --no-resume",
                )
            else:
                pending.append(recording)
                keys.add(key)
        _sweep(self._layout, keys if resume else set())
        return pending

    def work(self, pending: Sequence[Recording], engine: Engine) -> None:
        """Do all tasks, a few at a time."""
        cut = self._job.segment_s is not None
        waiting: deque[Task] = deque(Cut(one, self._job) if cut else Whole(one, self._job) for one in pending)
        running = 0
        while waiting or running:
            while waiting and running < engine.slots:
                task = waiting.popleft()
                if task.recording.name not in self.summary.failed:
                    engine.submit(task)
                    running += 1
            for event in engine.wait(_LOOK_S):
                if isinstance(event, Done):
                    running -= 1
                    waiting.extendleft(reversed(self._next(event.task, event.outcome)))
                else:
                    self._shown.frames(event.task.recording.name, event.frames, event.length)

    def _next(self, task: Task, outcome: Outcome) -> list[Task]:
        """What is to be done now that a task is done."""
        recording, name = task.recording, task.recording.name
        if isinstance(outcome, Failure):
            if outcome.of == "job":
                kind = getattr(errors, outcome.error, EdgeFerError)
                raise kind(outcome.reason)
            self._fail(recording, outcome.reason)
        elif isinstance(outcome, RecordingRecord):
            self.summary.records[name] = outcome
            self._shown.done(name, outcome.problem)
        elif isinstance(outcome, Part):
            assert isinstance(task, Label)
            self._left[name].discard(task.segment)
            if not self._left[name]:
                return [Join(recording, self._job, self._segments[name])]
        else:
            self._segments[name], self._left[name] = outcome, set(outcome)
            return [Label(recording, self._job, segment) for segment in outcome]
        return []

    def _fail(self, recording: Recording, reason: str) -> None:
        """Take note of a recording that cannot be read, once, however many segments of it fail."""
        if recording.name not in self.summary.failed:
            self.summary.failed[recording.name] = reason
            self._shown.done(recording.name, reason)


def write_failed(path: Path, summary: Summary) -> None:
    """Write what could not be read, or not all of it, as CSV.

    Raises:
        OutputError: when it cannot be written.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["recording", "source", "state", "reason"])
    for name, (state, reason) in summary.problems.items():
        rows.writerow([name, summary.sources[name], state, reason])
    with writing(path) as file:
        file.write(text.getvalue().encode())


def _sweep(layout: Layout, keys: set[str]) -> None:
    """Remove the parts of recordings that are not read any more, and files that a job was killed while writing."""
    with suppress(FileNotFoundError):  # no job has left parts here
        for folder in layout.parts.iterdir():
            if folder.name not in keys:
                shutil.rmtree(folder, ignore_errors=True)
    for name in (*TABLES, "recordings", ".parts", "."):
        for left in (layout.out / name).glob(".*.partial" if name == "." else "**/.*.partial"):
            left.unlink(missing_ok=True)
