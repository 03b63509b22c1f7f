"""A row of the table of tracks, of the rows of a face."""

from __future__ import annotations

import pytest

from edge_fer.archive.columns import TRACKS
from edge_fer.archive.tracks import TrackSummary
from edge_fer.settings import SmoothSettings
from tests.archive.made import a_face


def summed(*faces: dict[str, object], lasted_ms: float = 40.0) -> dict[str, object]:
    rows = [
        {"recording": "a", "track": 1, "frame": 10 + n, "position_ms": 40.0 * n, "lasted_ms": lasted_ms, **face}
        for n, face in enumerate(faces)
    ]
    summary = TrackSummary(rows[0])
    for row in rows:
        summary.add(row)
    return summary.row(0.5, SmoothSettings())


def test_every_column_has_a_value() -> None:
    assert set(summed(a_face(1))) == {column.name for column in TRACKS}


def test_good_frames_count_alike() -> None:
    poor = a_face(1, label=None, why="blurred", p_neutral=0.0, p_fear=1.0)
    row = summed(a_face(1, label="happiness"), a_face(1, label="happiness"), a_face(1, label="neutral"), poor)
    assert (row["label"], row["confidence"], row["frames_good"], row["frames_seen"]) == ("happiness", 0.6667, 3, 4)
    assert (row["p_neutral"], row["p_fear"]) == (0.3333, 0.0)
    assert (row["share_happiness"], row["share_neutral"], row["withheld"]) == (0.5, 0.25, 0.25)


def test_a_guess_is_withheld() -> None:
    row = summed(a_face(1, p_neutral=0.4, p_fear=0.45, label=None))
    assert (row["label"], row["confidence"]) == (None, 0.45)


def test_a_track_without_a_good_frame_has_no_answer() -> None:
    row = summed(a_face(1, label=None, why="too_small"))
    assert (row["label"], row["confidence"], row["p_neutral"], row["withheld"]) == (None, 0.0, None, 1.0)


def test_the_first_frame_of_a_film_counts_where_there_is_no_other() -> None:
    assert summed(a_face(1), lasted_ms=0.0)["share_neutral"] == 1


def test_the_mean_of_angles_and_the_best_frame() -> None:
    row = summed(a_face(1, roll=179.0, eye_distance=10), a_face(1, roll=-179.0), a_face(1, roll=180.0, blur=0.03))
    assert abs(float(str(row["roll"]))) == pytest.approx(180)
    assert row["best_frame"] == 11
