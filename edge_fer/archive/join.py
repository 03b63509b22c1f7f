"""From the parts of a recording to its tables.

The same face has the same number on both sides of a cut: where the segment before and the warm-up of the next one have
seen the same frames, their boxes are compared, and tracks that overlap most often are the same. Then all tracks are
numbered by the order in which they appear, so that the numbers do not depend on the cuts.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

from edge_fer.archive.labelling import Part
from edge_fer.archive.segments import Segment
from edge_fer.archive.tables import read_rows
from edge_fer.faces.boxes import corners_of, overlap
from edge_fer.types import Box

_COMPARED_NS = 2 * 10**9  # before a cut
_SAME = 0.5  # overlap (IoU) of two boxes of one face
_FIRST_YEAR = 1990  # MP4 counts from 1904, most other clocks from 1970

Face = dict[str, Any]


class JoinedFrame(NamedTuple):
    """A frame with its faces.

    Attributes:
        row: of the table `frames`.
        faces: rows of the table `faces`, in order of their tracks.
    """

    row: dict[str, Any]
    faces: list[Face]


class _PartFrame(NamedTuple):
    number: int
    position_ns: int
    faces: list[Face]


def join(
    name: str, segments: Sequence[Segment], folders: Sequence[Path], parts: Sequence[Part]
) -> Iterator[JoinedFrame]:
    """All frames of a recording, in order.

    Args:
        name: of the recording.
        segments: all of them, in order.
        folders: where the part of each is.
        parts: what each came to.
    """
    tracks = _Tracks()
    recorded_at = _moment(parts[0].recorded_at)
    before_ns: int | None = None
    for segment, folder in zip(segments, folders, strict=True):
        tracks.begin()
        for frame in _frames(folder):
            if frame.position_ns < segment.start_ns:
                tracks.compare(frame)
                continue
            faces = tracks.numbered(frame)
            place = {
                "recording": name,
                "frame": frame.number,
                "position_ms": round(frame.position_ns / 1e6, 3),
                "lasted_ms": 0.0 if before_ns is None else round((frame.position_ns - before_ns) / 1e6, 3),
                "filmed_at": recorded_at and recorded_at + timedelta(microseconds=frame.position_ns // 1000),
            }
            before_ns = frame.position_ns
            yield JoinedFrame({**place, "faces": len(faces)}, [{**face, **place} for face in faces])


def _frames(folder: Path) -> Iterator[_PartFrame]:
    """The frames of a part with their faces."""
    faces = read_rows(folder / "faces")
    for row in read_rows(folder / "frames"):
        yield _PartFrame(row["frame"], row["position_ns"], [next(faces) for _ in range(row["faces"])])


class _Tracks:
    """Numbers the tracks of a recording."""

    def __init__(self) -> None:
        self._count = 0
        self._numbers: dict[int, int] = {}  # by the ids of the segment
        self._last: deque[tuple[int, int, list[tuple[int, Box]]]] = deque()  # frame, time, number and box of each face
        self._seen: dict[int, list[tuple[int, Box]]] | None = None  # of the segment before, by frame
        self._votes: Counter[tuple[int, int]] = Counter()  # id of this segment, number of the track

    def begin(self) -> None:
        """Begin with the next segment, whose ids mean nothing yet."""
        self._seen = {frame: faces for frame, _, faces in self._last}
        self._last.clear()
        self._numbers, self._votes = {}, Counter()

    def compare(self, frame: _PartFrame) -> None:
        """Take a frame of the warm-up, which the segment before has, too."""
        known = (self._seen or {}).get(frame.number, [])
        if not known or not frame.faces:
            return
        here = corners_of([_box(face) for face in frame.faces])
        overlaps = overlap(here, corners_of([box for _, box in known]))
        for face, row in zip(frame.faces, overlaps, strict=True):
            best = int(row.argmax())
            if row[best] >= _SAME:
                self._votes[face["id"], known[best][0]] += 1

    def numbered(self, frame: _PartFrame) -> list[Face]:
        """The faces of a frame of the segment itself, with `track` for `id`, in that order."""
        if self._seen is not None:
            self._match()
        faces = [{"track": self._number(face["id"]), **face} for face in frame.faces]
        for face in faces:
            del face["id"]
        boxes = [(face["track"], _box(face)) for face in faces]
        self._last.append((frame.number, frame.position_ns, boxes))
        while self._last[0][1] < frame.position_ns - _COMPARED_NS:
            self._last.popleft()
        return sorted(faces, key=lambda face: int(face["track"]))

    def _match(self) -> None:
        """Give the ids of this segment the numbers of the tracks that they were with most often, one each."""
        self._seen = None
        for (key, number), _ in sorted(self._votes.items(), key=lambda vote: (-vote[1], vote[0])):
            if key not in self._numbers and number not in self._numbers.values():
                self._numbers[key] = number

    def _number(self, key: int) -> int:
        if key not in self._numbers:
            self._count += 1
            self._numbers[key] = self._count
        return self._numbers[key]


def _box(face: Mapping[str, Any]) -> Box:
    return Box(face["x"], face["y"], face["width"], face["height"])


def _moment(text: str | None) -> datetime | None:
    """A time as films state it; None where it is none, or the zero of a camera without a clock."""
    try:
        moment = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return aware if aware.year >= _FIRST_YEAR else None
