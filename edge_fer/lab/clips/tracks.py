"""Which reading belongs to which picture of a recording, and so where each track is in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edge_fer.capture.sources.file_kind import open_file
from edge_fer.errors import SourceError
from edge_fer.publish.recording.provenance import Provenance
from edge_fer.publish.recording.timeline import Timeline
from edge_fer.schema import Reading
from edge_fer.types import Box

_LONGEST_LINE = 1 << 20  # bytes; a reading of a hundred faces has 100 kB
_READING = TypeAdapter(Reading)


@dataclass(slots=True)
class Tracks:
    """The faces of a recording over time.

    Attributes:
        places: by track id: its box by presentation time in the recording, milliseconds, growing.
        size: width and height of the pictures that were read, pixels.
        unread: lines of the file that are no record.
    """

    places: dict[int, list[tuple[float, Box]]] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)
    unread: int = 0

    def add(self, at_ms: float, reading: Reading) -> None:
        """Take a reading whose picture is shown at this time, milliseconds."""
        self.size = reading.size
        for face in reading.faces:
            self.places.setdefault(face.id, []).append((at_ms, face.box))


def read_tracks(readings: Path, recording: Path, provenance: Provenance | None) -> Tracks:
    """Where each face of a recording is.

    A recording of the runtime says which run it is of: the times of its pictures are those of that run's readings. Any
    other film is taken for the one that was read: its pictures have the readings' positions in it.

    Args:
        readings: the run's readings, one JSON object a line.
        recording: the film.
        provenance: what the film says of itself; None: it is no recording of the runtime.

    Raises:
        SourceError: when the file cannot be read, or none of its readings belongs to the film.
    """
    unread: Counter[str] = Counter()
    tracks = _of_recording(readings, provenance, unread) if provenance else _of_film(readings, recording, unread)
    tracks.unread = unread["lines"]
    return tracks


def _of_recording(path: Path, provenance: Provenance, unread: Counter[str]) -> Tracks:
    """The faces of a recording of the runtime, at the times that its pictures have."""
    timeline, tracks = Timeline(), Tracks()
    for reading in _readings(path, unread):
        if reading.run == provenance.run and reading.frame >= provenance.frame:
            tracks.add(timeline.at(reading), reading)
    if tracks.size == (0, 0):
        raise SourceError(
            f"expected readings of the run {provenance.run} in {path}, which the recording is of, found none; name the "
            "file that this run wrote"
        )
    return tracks


def _of_film(path: Path, recording: Path, unread: Counter[str]) -> Tracks:
    """The faces of a film that was read, at their positions in it; of several runs, those of the last one."""
    by_run: dict[str, Tracks] = {}
    files: set[str] = set()
    for reading in _readings(path, unread):
        if reading.position_ms is not None and reading.source_file is not None:
            files.add(reading.source_file)
            if Path(reading.source_file).name in (recording.name, recording.stem):
                by_run.setdefault(reading.run, Tracks()).add(reading.position_ms, reading)
    if not by_run:
        found = ", ".join(sorted(files)[:3]) or "a camera's, or none"
        raise SourceError(
            f"expected readings of the film {recording.name} in {path}, found those of: {found}; of a camera, name its "
            "recording (publish.record, with publish.record_plain: true)"
        )
    return by_run[list(by_run)[-1]]


def _readings(path: Path, unread: Counter[str]) -> Iterator[Reading]:
    """The readings in a file; lines that are no record, as one that a power cut broke off, are counted."""
    with open_file(path) as file:
        while line := file.readline(_LONGEST_LINE):
            try:
                record = json.loads(line)
                if isinstance(record, dict) and record.get("schema") == "edge-fer/reading/1":
                    yield _READING.validate_python(record)
                elif not isinstance(record, dict) or "schema" not in record:
                    unread["lines"] += 1
            except (ValueError, RecursionError, ValidationError):
                unread["lines"] += line.strip() != b""
