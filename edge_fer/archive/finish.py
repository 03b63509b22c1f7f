"""The tables of a recording, of its parts; then its record, by which a later job knows that all of it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from edge_fer.archive.columns import TABLES
from edge_fer.archive.job import Job
from edge_fer.archive.join import JoinedFrame, join
from edge_fer.archive.labelling import Part, Progress
from edge_fer.archive.layout import Layout, key_of, writing
from edge_fer.archive.record import RecordingRecord, write_record
from edge_fer.archive.recordings import Recording
from edge_fer.archive.segments import Segment
from edge_fer.archive.tables import Table, write_table
from edge_fer.archive.timeline import Timeline
from edge_fer.archive.tracks import TrackSummary
from edge_fer.common.text import counted
from edge_fer.errors import SourceError

_TOLD_FRAMES = 5000  # between two signs of life


class Totals:
    """Adds up the frames of a recording.

    Attributes:
        tracks: what each track's rows say together, by its number.
        timeline: expressions over time.
        withheld: rows without a label, by the reason.
    """

    def __init__(self) -> None:
        self.tracks: dict[int, TrackSummary] = {}
        self.timeline = Timeline()
        self.withheld: Counter[str] = Counter()
        self.frames = self.faces = self.most_faces = 0
        self.duration_ms = 0.0

    def add(self, frame: JoinedFrame) -> None:
        """Take a frame."""
        position_ms, count = frame.row["position_ms"], len(frame.faces)
        self.frames, self.faces, self.duration_ms = self.frames + 1, self.faces + count, position_ms
        self.most_faces = max(self.most_faces, count)
        self.timeline.reach(position_ms)
        for face in frame.faces:
            self.timeline.add(position_ms, face["label"], face["lasted_ms"])
            if face["why"] is not None:
                self.withheld[face["why"]] += 1
            self._track(face).add(face)

    def _track(self, face: Mapping[str, Any]) -> TrackSummary:
        if face["track"] not in self.tracks:
            self.tracks[face["track"]] = TrackSummary(face)
        return self.tracks[face["track"]]


def finish(
    recording: Recording,
    segments: Sequence[Segment],
    folders: Sequence[Path],
    parts: Sequence[Part],
    job: Job,
    progress: Progress,
) -> RecordingRecord:
    """Write the tables of a recording and its record.

    Args:
        recording: the recording.
        segments: all of them, in order.
        folders: where the part of each is.
        parts: what each came to.
        job: what was done.
        progress: told now and then, with no frames.

    Raises:
        SourceError: when the recording has changed between its segments.
        OutputError: when a table cannot be written.
    """
    identity = parts[0].identity
    if any(part.identity != identity for part in parts):
        raise SourceError(
            f"expected {recording.shown} to stay as it was while it is read, found that it changed between two of its "
            "segments; run the command again once nothing writes to it"
        )
    layout, totals = Layout.of(job), Totals()
    layout.record(recording.name).unlink(missing_ok=True)  # from here on its tables may be another job's
    with ExitStack() as stack:
        tables = {name: _begin(stack, layout, name, recording, identity, job) for name in TABLES}
        for frame in join(recording.name, segments, folders, parts):
            totals.add(frame)
            tables["frames"].add(frame.row)
            for face in frame.faces:
                tables["faces"].add(face)
            if totals.frames % _TOLD_FRAMES == 0:
                progress(0, None)
        for track in totals.tracks.values():
            tables["tracks"].add(track.row(job.abstain_below, job.settings.smooth))
    for path in layout.replaced(recording.name):
        path.unlink(missing_ok=True)
    record = _record(recording, segments, parts, job, totals)
    write_record(layout.record(recording.name), record)
    return record


def _begin(stack: ExitStack, layout: Layout, name: str, recording: Recording, identity: str, job: Job) -> Table:
    file = stack.enter_context(writing(layout.table(name, recording.name)))
    facts = {**job.facts, "recording": recording.name, "source": recording.shown, "identity": identity}
    return stack.enter_context(closing(write_table(file, job.form, TABLES[name], facts)))


def _record(
    recording: Recording, segments: Sequence[Segment], parts: Sequence[Part], job: Job, totals: Totals
) -> RecordingRecord:
    problem = next((part.broken for part in parts if part.broken is not None), None)
    return RecordingRecord(
        recording=recording.name,
        source=recording.shown,
        identity=parts[0].identity,
        key=key_of(recording, parts[0].identity, job),
        facts=job.facts,
        problem=problem
        and f"it breaks off after {counted(totals.frames, 'frame')} ({problem}); what is before is in the tables",
        warnings=tuple(dict.fromkeys(text for part in parts for text in part.warnings)),
        recorded_at=parts[0].recorded_at,
        size=next((part.size for part in parts if part.size is not None), None),
        segments=len(segments),
        duration_ms=totals.duration_ms,
        frames=totals.frames,
        frames_lost=sum(part.lost for part in parts),
        frames_damaged=sum(part.damaged for part in parts),
        faces=totals.faces,
        tracks=len(totals.tracks),
        most_faces=totals.most_faces,
        withheld=dict(sorted(totals.withheld.items())),
        bin_ms=totals.timeline.bin_ms,
        bins=tuple(tuple(round(value, 1) for value in one) for one in totals.timeline.bins),
    )
