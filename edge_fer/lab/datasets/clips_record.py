"""The record that `edge-fer lab clips trim` leaves beside the clips that it trimmed: `edge-fer/clips/1`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.lab.files import Record, read_record
from edge_fer.types import Label

CLIPS = "clips.json"


class TrimmedClip(Record):
    """One clip, from the frame where an expression begins to the one where it ends.

    Attributes:
        folder: where its pictures are, below the folder of the record: `happiness/p017_003`.
        label: the expression that was expected, and that the labeller saw.
        person: who is seen.
        sha256: of the file of the clip that was labelled.
        start: number of the first frame of the expression, from 0.
        end: number of the last one.
        peak: number of the one in which it is strongest.
        frames: numbers of the frames that there are pictures of; the others show no face.
        times_ms: presentation time of each of these, milliseconds after the first frame of the clip.
    """

    folder: str
    label: Label
    person: str
    sha256: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    peak: int = Field(ge=0)
    frames: tuple[int, ...]
    times_ms: tuple[float, ...]


class TrimmedClips(Record):
    """How labelled clips were trimmed.

    Attributes:
        schema_: name and version of this record.
        content: `faces`, cut out as the runtime does, or `frames`, whole pictures.
        classifier: whose crop the faces have, by its name in the manifest; null for whole pictures.
        crop: where the eyes are, and how fine the faces were sampled; null for whole pictures.
        size: side of the faces, pixels; null for whole pictures.
        clips: the clips.
        left_out: clips that are not among them, by name, and why.
    """

    schema_: Literal["edge-fer/clips/1"] = Field("edge-fer/clips/1", alias="schema")
    content: Literal["faces", "frames"]
    classifier: str | None
    crop: CropSpec | None
    size: int | None
    clips: tuple[TrimmedClip, ...]
    left_out: dict[str, str]


def read_clips_record(folder: Path) -> TrimmedClips | None:
    """The record in a folder; None where there is none.

    Raises:
        SourceError: when it is damaged.
    """
    path = folder / CLIPS
    return read_record(path, TrimmedClips) if path.is_file() else None
