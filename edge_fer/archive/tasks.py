"""What workers do: plain functions of their arguments, the same for every engine; and what each came to.

Whole: a recording that is not cut
Cut --> Label, one for each segment --> Join
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pydantic import TypeAdapter, ValidationError

from edge_fer.archive.finish import finish
from edge_fer.archive.job import Job
from edge_fer.archive.labelling import Part, Progress, label_segment
from edge_fer.archive.layout import Layout, key_of, writing
from edge_fer.archive.record import RecordingRecord
from edge_fer.archive.recordings import Recording
from edge_fer.archive.segments import WHOLE, Segment, cut
from edge_fer.common.text import first_line, redact
from edge_fer.errors import EdgeFerError, OutputError, SourceError

_PART = TypeAdapter(Part)
_log = logging.getLogger(__name__)


class Failure(NamedTuple):
    """A task that failed.

    Attributes:
        of: the `recording`, the `job` (a full disk, a missing network: others would fail like it), or the `worker`,
            which died.
        reason: one line.
        error: name of the error that ends the job; see `edge_fer.errors`.
    """

    of: Literal["recording", "job", "worker"]
    reason: str
    error: str = ""


Result = RecordingRecord | Part | tuple[Segment, ...]
Outcome = Result | Failure


class Task(Protocol):
    """Something that a worker does for a recording; the same again gives the same.

    Attributes:
        recording: the recording.
        job: what is done with it.
    """

    @property
    def recording(self) -> Recording:
        """See above."""
        ...

    @property
    def job(self) -> Job:
        """See above."""
        ...

    def run(self, progress: Progress) -> Result:
        """Do it.

        Raises:
            EdgeFerError: when it fails.
        """
        ...


@dataclass(frozen=True)
class Whole:
    """Read a recording, all of it."""

    recording: Recording
    job: Job

    def run(self, progress: Progress) -> RecordingRecord:
        """See `Task.run`."""
        Label(self.recording, self.job, WHOLE).run(progress)
        return Join(self.recording, self.job, (WHOLE,)).run(progress)


@dataclass(frozen=True)
class Cut:
    """Cut a recording into segments, if it is long enough."""

    recording: Recording
    job: Job

    def run(self, progress: Progress) -> tuple[Segment, ...]:
        """See `Task.run`."""
        assert self.job.segment_s is not None
        return cut(self.recording, self.job.segment_s)


@dataclass(frozen=True)
class Label:
    """Read a segment of a recording, unless an earlier job has."""

    recording: Recording
    job: Job
    segment: Segment

    def run(self, progress: Progress) -> Part:
        """See `Task.run`."""
        folder = part_folder(self.recording, self.job, self.segment)
        known = _read_part(folder)
        if known is not None:
            return known
        with _without_remains(folder):
            part = label_segment(self.recording, self.segment, self.job, folder, progress)
            with writing(folder / "part.json") as file:
                file.write(_PART.dump_json(part))
        return part


@dataclass(frozen=True)
class Join:
    """Make the tables of a recording, of the parts of all its segments."""

    recording: Recording
    job: Job
    segments: tuple[Segment, ...]

    def run(self, progress: Progress) -> RecordingRecord:
        """See `Task.run`."""
        folders = [part_folder(self.recording, self.job, segment) for segment in self.segments]
        parts = _all_parts(self.recording, folders)
        record = finish(self.recording, self.segments, folders, parts, self.job, progress)
        shutil.rmtree(folders[0].parent, ignore_errors=True)  # what is left is swept by the next job
        return record


def perform(task: Task, progress: Progress) -> Outcome:
    """Do a task; what fails is an outcome, too.

    Args:
        task: the task.
        progress: told what is done.
    """
    try:
        _check_shared(task)
        return task.run(progress)
    except SourceError as error:
        return Failure("recording", redact(str(error)))
    except EdgeFerError as error:
        return Failure("job", redact(str(error)), type(error).__name__)
    except Exception as error:  # one recording that nobody has foreseen stops no other
        _log.exception("%s failed unexpectedly", task.recording.shown)
        return Failure("recording", redact(f"it failed unexpectedly: {type(error).__name__}: {first_line(error)}"))


def part_folder(recording: Recording, job: Job, segment: Segment) -> Path:
    """Where the part of a segment goes.

    Args:
        recording: the recording, as it is now.
        job: what is done with it.
        segment: the segment.

    Raises:
        SourceError: when the recording is not there.
    """
    return Layout.of(job).parts / key_of(recording, recording.identity(), job) / f"{segment.number:04}"


def _check_shared(task: Task) -> None:
    """Check that this machine has the output folder.

    Raises:
        OutputError: when it has another one, or none.
    """
    if not Layout.of(task.job).lock.exists():
        raise OutputError(
            f"expected the folder {task.job.out} of the machine that began the job, found none here; choose one for "
            "--out that every worker sees under the same path"
        )


@contextmanager
def _without_remains(folder: Path) -> Iterator[None]:
    """Remove a part that fails, and the folder of the recording's parts where it is the only one."""
    try:
        yield
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()
        raise


def _read_part(folder: Path) -> Part | None:
    """What was read of a segment; None where nothing was that can be used: then it is read again."""
    try:
        return _PART.validate_json((folder / "part.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _all_parts(recording: Recording, folders: Sequence[Path]) -> list[Part]:
    parts = [_read_part(folder) for folder in folders]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        raise SourceError(
            f"expected {recording.shown} to stay as it was while it is read, found that it changed; run the command "
            "again once nothing writes to it"
        )
    return found
