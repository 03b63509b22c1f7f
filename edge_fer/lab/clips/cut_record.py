"""What `edge-fer lab clips cut` says of the clips of one recording, beside them: `edge-fer/cut/1`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_fer.lab.files import Record, read_record
from edge_fer.types import Label

SUFFIX = ".cut.json"
"""Of the record's name, after the person's."""

PixelBox = tuple[float, float, float, float]
"""x, y, width and height, pixels."""


class CutClip(Record):
    """One clip.

    Attributes:
        name: of its file, without the ending.
        expected: the expression that the person was asked to show; null where that is not known.
        start_ms: presentation time of its first frame in the recording, milliseconds.
        times_ms: of all of its frames, milliseconds after the first one.
        track: id of the face that it follows; null where it shows the whole picture.
        window: the part of the recording's picture that it shows: left, top, right, bottom, pixels.
        boxes: where the face is in each frame, pixels of the clip; null where it was not seen, or follows no face.
    """

    name: str
    expected: Label | None
    start_ms: float
    times_ms: tuple[float, ...]
    track: int | None
    window: tuple[int, int, int, int]
    boxes: tuple[PixelBox | None, ...]


class Cut(Record):
    """The clips of one recording.

    Attributes:
        schema_: name and version of this record.
        recording: name of the file.
        size: of the file, bytes.
        by: how it was cut: by beeps, by time, or by the tracks of a run.
        frequency_hz: of the beeps; null where there are none.
        clips: the clips.
        left_out: what no clip shows, and how much of it there is, in words.
    """

    schema_: Literal["edge-fer/cut/1"] = Field("edge-fer/cut/1", alias="schema")
    recording: str
    size: int
    by: Literal["beeps", "time", "tracks"]
    frequency_hz: float | None = None
    clips: tuple[CutClip, ...]
    left_out: tuple[str, ...]


def read_cuts(folder: Path) -> dict[str, CutClip]:
    """The clips that were cut into a folder, by name.

    Raises:
        SourceError: when a record is damaged.
    """
    records = [read_record(path, Cut) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    return {clip.name: clip for record in records for clip in record.clips}
