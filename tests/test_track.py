from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_fer.settings import TrackSettings
from edge_fer.track import Tracker
from tests.conftest import face_at

MS = 1_000_000


def ids(tracker: Tracker, at_ms: int, *places: tuple[float, float]) -> list[int]:
    """Ids of 50-pixel faces at these places, in the order they are given."""
    faces = [face_at(x, y, 50) for x, y in places]
    tracks = tracker.track(faces, at_ms * MS)
    return [next(track.id for track in tracks if track.face is face) for face in faces]


def test_a_moving_face_keeps_its_id() -> None:
    tracker = Tracker(TrackSettings())
    assert [ids(tracker, 33 * step, (100 + 8 * step, 50)) for step in range(20)] == [[1]] * 20


def test_faces_are_told_apart_whatever_their_order() -> None:
    tracker = Tracker(TrackSettings())
    assert ids(tracker, 0, (100, 50), (300, 50)) == [1, 2]
    assert ids(tracker, 33, (305, 50), (105, 50)) == [2, 1]


def test_the_greater_overlap_wins() -> None:
    tracker = Tracker(TrackSettings())
    assert ids(tracker, 0, (100, 50)) == [1]
    assert ids(tracker, 33, (120, 50), (102, 50)) == [2, 1]


def test_a_flicker_is_forgiven_and_a_long_absence_is_not() -> None:
    tracker = Tracker(TrackSettings(keep_ms=500, keep_frames=1))
    assert ids(tracker, 0, (100, 50)) == [1]
    assert ids(tracker, 200) == []
    assert ids(tracker, 500, (100, 50)) == [1]
    assert ids(tracker, 800) == []
    assert ids(tracker, 1001, (100, 50)) == [2]


def test_a_slow_processor_does_not_lose_every_face() -> None:
    tracker = Tracker(TrackSettings(keep_ms=500, keep_frames=3))
    assert [ids(tracker, 2000 * step, (100, 50)) for step in range(3)] == [[1]] * 3
    assert [ids(tracker, 6000 + 2000 * step) for step in range(2)] == [[]] * 2
    assert ids(tracker, 10_000, (100, 50)) == [1]
    assert [ids(tracker, 12_000 + 2000 * step) for step in range(3)] == [[]] * 3
    assert ids(tracker, 18_000, (100, 50)) == [2]


def test_tracks_come_in_order_of_id() -> None:
    tracker = Tracker(TrackSettings())
    tracker.track([face_at(100, 50, 50), face_at(300, 50, 50)], 0)
    tracks = tracker.track([face_at(300, 50, 50), face_at(100, 50, 50)], 33 * MS)
    assert [track.id for track in tracks] == [1, 2]


@given(st.lists(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=6), max_size=12))
def test_ids_are_unique_and_never_used_again(frames: list[list[tuple[int, int]]]) -> None:
    tracker = Tracker(TrackSettings(keep_ms=0, keep_frames=1))
    seen: set[int] = set()
    last: set[int] = set()
    for step, places in enumerate(frames):
        found = {track.id for track in tracker.track([face_at(x, y, 50) for x, y in places], step * 33 * MS)}
        assert len(found) == len(places)
        assert not found & (seen - last), "an id that had ended came back"
        seen |= found
        last = found
