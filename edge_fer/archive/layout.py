"""What lies where in the output folder.

OUT/frames/NAME.parquet  faces/NAME.parquet  tracks/NAME.parquet    the tables of each recording
OUT/recordings/NAME.json                                            what was read of it; written last
OUT/failed.csv  report.html                                         of the last job
OUT/.parts/KEY/...                                                  what is under way; .lock: one job at a time
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_fer.archive.columns import TABLES
from edge_fer.archive.job import Job
from edge_fer.archive.recordings import Recording
from edge_fer.archive.tables import FORMATS
from edge_fer.common.files import replacing

_MODE = 0o640


@dataclass(frozen=True)
class Layout:
    """The paths of one output folder.

    Args:
        out: the folder.
        form: the ending of the tables.
    """

    out: Path
    form: str

    @classmethod
    def of(cls, job: Job) -> Layout:
        """That of a job."""
        return cls(job.out, job.form)

    def table(self, name: str, recording: str) -> Path:
        """A table of a recording.

        Args:
            name: of the table, one of `TABLES`.
            recording: the recording's name.
        """
        return self.out / name / f"{recording}.{self.form}"

    def tables(self, recording: str) -> dict[str, Path]:
        """All tables of a recording, by their names."""
        return {name: self.table(name, recording) for name in TABLES}

    def replaced(self, recording: str) -> list[Path]:
        """The tables of a recording in other forms: it has one set of tables, those of the last job."""
        forms = (form for form in FORMATS if form != self.form)
        return [path for form in forms for path in Layout(self.out, form).tables(recording).values()]

    def record(self, recording: str) -> Path:
        """What was read of a recording."""
        return self.out / "recordings" / f"{recording}.json"

    def recordings(self) -> set[str]:
        """The names of all recordings that have a record here, whichever job has read them."""
        folder = self.out / "recordings"
        return {path.relative_to(folder).as_posix().removesuffix(".json") for path in folder.rglob("*.json")}

    @property
    def parts(self) -> Path:
        """The folder of what is under way."""
        return self.out / ".parts"

    @property
    def lock(self) -> Path:
        """The file that a job locks."""
        return self.out / ".lock"

    @property
    def failed(self) -> Path:
        """What could not be read, or not all of it."""
        return self.out / "failed.csv"

    @property
    def report(self) -> Path:
        """The page about the job."""
        return self.out / "report.html"


def writing(path: Path) -> AbstractContextManager[BinaryIO]:
    """A file of the folder to write to; see `replacing`. Rows are about people: not every user may read them.

    Args:
        path: the file.
    """
    return replacing(path, _MODE)


def key_of(recording: Recording, identity: str, job: Job) -> str:
    """What the tables of a recording depend on, as a hash: another key, other tables.

    Args:
        recording: the recording.
        identity: of its content; see `Recording.identity`.
        job: what is done with it.
    """
    return hashlib.sha256(repr((recording.name, identity, job.fingerprint)).encode()).hexdigest()
