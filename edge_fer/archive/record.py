"""What was read of a recording: the record `edge-fer/recording/1`, beside its tables and written after them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_fer.archive.layout import writing

Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RecordingRecord(BaseModel):
    """What was read of a recording. Later versions only add fields.

    Attributes:
        schema_: name and version of this record.
        recording: the recording's name.
        source: its address, without credentials.
        identity: what says that it is still the same; see `Recording.identity`.
        key: what its tables depend on; see `key_of`.
        facts: version, networks, settings and sampling.
        problem: why it was not read to its end; null where it was.
        warnings: what else is not as it should be.
        recorded_at: when it was recorded, as it states it.
        size: width and height of its frames, pixels.
        segments: into how many it was cut.
        duration_ms: presentation time of its last frame.
        frames: frames that were read: rows of `frames`.
        frames_lost: frames that could not be decoded.
        frames_damaged: frames that are shown with damage.
        faces: rows of `faces`.
        tracks: rows of `tracks`.
        most_faces: in one frame.
        withheld: rows of `faces` without a label, by the reason.
        bin_ms: length of a bin of `bins`, milliseconds.
        bins: for how long faces showed each label and none, milliseconds, added over all faces, by time.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_: Literal["edge-fer/recording/1"] = Field("edge-fer/recording/1", alias="schema")
    recording: str
    source: str
    identity: str
    key: str
    facts: dict[str, str]
    problem: str | None
    warnings: tuple[str, ...]
    recorded_at: str | None
    size: tuple[int, int] | None
    segments: int
    duration_ms: Milliseconds
    frames: int
    frames_lost: int
    frames_damaged: int
    faces: int
    tracks: int
    most_faces: int
    withheld: dict[str, int]
    bin_ms: Annotated[float, Field(gt=0)]
    bins: tuple[tuple[Milliseconds, ...], ...]


def write_record(path: Path, record: RecordingRecord) -> None:
    """Write a record.

    Raises:
        OutputError: when it cannot be written.
    """
    with writing(path) as file:
        file.write(record.model_dump_json(by_alias=True).encode() + b"\n")


def read_record(path: Path) -> RecordingRecord | None:
    """Read a record; None where there is none that can be read: then the recording is read again."""
    try:
        return RecordingRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
