"""Files that are whole or not there, and records beside models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_fer.common.files import replacing
from edge_fer.common.text import first_problem
from edge_fer.errors import OutputError, SourceError

__all__ = ["Record", "RecordT", "read_record", "replacing", "write_record", "writing"]


class Record(BaseModel):
    """A record with fixed fields that does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


RecordT = TypeVar("RecordT", bound=Record)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Make the folder of a file that is about to be written, and turn what goes wrong into one line.

    Raises:
        OutputError: when the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
    except OSError as error:
        raise OutputError(f"expected to write {path}, found: {error.strerror}; choose another folder") from error


def write_record(path: Path, facts: Record) -> None:
    """Write a record as JSON.

    Raises:
        OutputError: when the file cannot be written.
    """
    with writing(path):
        path.write_text(facts.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")


def read_record(path: Path, kind: type[RecordT]) -> RecordT:
    """Read what `write_record` wrote.

    Args:
        path: path of the file.
        kind: class of the record, `Export` or `Evaluation`.

    Raises:
        SourceError: when the file is missing or is not a record of that kind.
    """
    what = f"a record `{kind.model_fields['schema_'].default}`"
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SourceError(f"expected {what} at {path}, found: {error.strerror}; check the path") from error
    except ValidationError as error:
        where, found = first_problem(error)
        raise SourceError(f"expected {what} in {path}, found at {where}: {found}; make it again") from error
