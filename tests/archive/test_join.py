"""Parts of a recording, joined: the same face has the same number on both sides of a cut."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_fer.archive.join import JoinedFrame, join
from edge_fer.archive.segments import WHOLE, Segment
from tests.archive.made import a_face, a_part, write_part

CUT = (Segment(0, None, 0, 5 * 10**9), Segment(1, 3 * 10**9, 5 * 10**9, None, 3))


def joined(
    folder: Path, *parts: dict[int, list[dict[str, object]]], recorded_at: str | None = None
) -> list[JoinedFrame]:
    segments = CUT if len(parts) == 2 else (WHOLE,)
    folders = [write_part(folder / str(number), part) for number, part in enumerate(parts)]
    return list(join("a.mp4", segments, folders, [a_part(recorded_at=recorded_at)] * len(parts)))


def tracks(frames: list[JoinedFrame]) -> list[list[tuple[int, float]]]:
    return [[(face["track"], face["x"]) for face in frame.faces] for frame in frames]


def test_tracks_are_numbered_as_they_appear(tmp_path: Path) -> None:
    found = joined(tmp_path, {0: [a_face(7, 50)], 1: [], 2: [a_face(3, 0), a_face(7, 50)]})
    assert tracks(found) == [[(1, 50)], [], [(1, 50), (2, 0)]]
    assert [frame.row["faces"] for frame in found] == [1, 0, 2]


def test_a_face_keeps_its_number_across_a_cut(tmp_path: Path) -> None:
    found = joined(
        tmp_path,
        {0: [a_face(1, 0)], 3: [a_face(1, 0), a_face(2, 50)], 4: [a_face(1, 0), a_face(2, 50)]},
        {3: [a_face(1, 52)], 4: [a_face(1, 51), a_face(2, 1)], 5: [a_face(1, 50), a_face(2, 0)], 6: [a_face(3, 90)]},
    )
    assert tracks(found) == [[(1, 0)], *[[(1, 0), (2, 50)]] * 3, [(3, 90)]]
    assert [frame.row["frame"] for frame in found] == [0, 3, 4, 5, 6], "no frame of the warm-up is there twice"


def test_a_face_that_only_comes_near_is_another_one(tmp_path: Path) -> None:
    found = joined(tmp_path, {4: [a_face(1, 0)]}, {4: [a_face(1, 6)], 5: [a_face(1, 6)]})
    assert tracks(found) == [[(1, 0)], [(2, 6)]]


def test_two_faces_never_become_one(tmp_path: Path) -> None:
    found = joined(tmp_path, {4: [a_face(1, 0)]}, {4: [a_face(1, 0), a_face(2, 1)], 5: [a_face(1, 0), a_face(2, 1)]})
    assert tracks(found) == [[(1, 0)], [(1, 0), (2, 1)]]


def test_each_frame_lasts_since_the_one_before_it(tmp_path: Path) -> None:
    found = joined(tmp_path, {0: [], 2: [], 4: []}, {4: [], 5: [], 9: []})
    assert [frame.row["lasted_ms"] for frame in found] == [0, 2000, 2000, 1000, 4000]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("2026-11-30T08:00:00.000000Z", datetime(2026, 11, 30, 8, 0, 2, tzinfo=timezone.utc)),
        ("2026-11-30T10:00:00+02:00", datetime(2026, 11, 30, 8, 0, 2, tzinfo=timezone.utc)),
        ("1904-01-01T00:00:00.000000Z", None),
        ("1970-01-01T00:00:00.000000Z", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_the_time_of_a_frame_is_what_the_film_states(
    tmp_path: Path, stated: str | None, expected: datetime | None
) -> None:
    (frame,) = joined(tmp_path, {2: [a_face(1)]}, recorded_at=stated)
    assert frame.row["filmed_at"] == expected
    assert frame.faces[0]["filmed_at"] == expected
