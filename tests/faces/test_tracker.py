from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.faces.tracker import Tracker
from edge_fer.settings import TrackSettings
from edge_fer.types import Box, Face
from tests.support.records import face_at

MS = 1_000_000
AT_ONCE = TrackSettings(min_hits=1)


def ids(tracker: Tracker, at_ms: int, *places: tuple[float, float]) -> list[int]:
    """Ids of 50-pixel faces at these places, in the order they are given."""
    faces = [face_at(x, y, 50) for x, y in places]
    tracks = tracker.update(at_ms * MS, {}, faces)
    return [next(track.id for track in tracks if track.face is face) for face in faces]


def follow(tracker: Tracker, at_ms: int, faces: Mapping[int, Face]) -> list[int]:
    return [track.id for track in tracker.update(at_ms * MS, faces)]


def test_a_moving_face_keeps_its_id() -> None:
    tracker = Tracker(TrackSettings())
    assert [ids(tracker, 33 * step, (100 + 8 * step, 50)) for step in range(20)] == [[1]] * 20


def test_a_fast_face_keeps_its_id_as_its_speed_is_known() -> None:
    tracker = Tracker(TrackSettings())
    places = [100.0, 120.0, 150.0, 190.0, 230.0, 270.0]  # 40 pixels a frame: no overlap without a prediction
    assert [ids(tracker, 33 * step, (x, 50)) for step, x in enumerate(places)] == [[1]] * 6


def test_a_face_is_expected_where_its_speed_takes_it() -> None:
    tracker = Tracker(TrackSettings())
    for step in range(8):
        ids(tracker, 100 * step, (100 + 10 * step, 50 + 5 * step))
    box = tracker.predict(800 * MS)[1]
    assert (box.x, box.y, box.width) == pytest.approx((180, 90, 50), abs=0.5)


def test_a_speed_that_is_forgotten_is_measured_anew() -> None:
    one, other = Tracker(TrackSettings()), Tracker(TrackSettings())
    for step in range(8):
        ids(one, 100 * step, (100 + 10 * step, 50))
    ids(other, 700, (170, 50))
    for tracker in (one, other):
        tracker.forget_speeds()
        assert tracker.predict(800 * MS)[1].x == 170
        assert ids(tracker, 800, (182, 50)) == [1]
    assert one.predict(900 * MS) == other.predict(900 * MS)


def test_a_face_out_of_sight_stops_after_a_while() -> None:
    tracker = Tracker(TrackSettings(max_age_ms=10_000))
    for step in range(5):
        ids(tracker, 100 * step, (100 + 10 * step, 50))
    assert tracker.predict(600 * MS)[1].x == pytest.approx(160, abs=0.5)
    assert tracker.predict(5000 * MS)[1].x == pytest.approx(160, abs=0.5)


def test_faces_are_told_apart_whatever_their_order() -> None:
    tracker = Tracker(AT_ONCE)
    assert ids(tracker, 0, (100, 50), (300, 50)) == [1, 2]
    assert ids(tracker, 33, (305, 50), (105, 50)) == [2, 1]


def test_the_greater_overlap_wins() -> None:
    tracker = Tracker(AT_ONCE)
    assert ids(tracker, 0, (100, 50)) == [1]
    assert ids(tracker, 33, (120, 50), (102, 50)) == [2, 1]


def test_a_flicker_is_forgiven_and_a_long_absence_is_not() -> None:
    tracker = Tracker(TrackSettings(max_age_ms=500, min_missed_frames=1))
    assert ids(tracker, 0, (100, 50)) == [1]
    assert ids(tracker, 200) == []
    assert ids(tracker, 500, (100, 50)) == [1]
    assert ids(tracker, 800) == []
    assert ids(tracker, 1001, (100, 50)) == [2]


def test_a_slow_processor_does_not_lose_every_face() -> None:
    tracker = Tracker(TrackSettings(max_age_ms=500, min_missed_frames=3))
    assert [ids(tracker, 2000 * step, (100, 50)) for step in range(3)] == [[1]] * 3
    assert [ids(tracker, 6000 + 2000 * step) for step in range(2)] == [[]] * 2
    assert ids(tracker, 10_000, (100, 50)) == [1]
    assert [ids(tracker, 12_000 + 2000 * step) for step in range(3)] == [[]] * 3
    assert ids(tracker, 18_000, (100, 50)) == [2]


def test_tracks_come_in_order_of_id() -> None:
    tracker = Tracker(AT_ONCE)
    tracker.update(0, {}, [face_at(100, 50, 50), face_at(300, 50, 50)])
    tracks = tracker.update(33 * MS, {}, [face_at(300, 50, 50), face_at(100, 50, 50)])
    assert [track.id for track in tracks] == [1, 2]


def test_a_followed_face_keeps_its_id_however_far_it_went() -> None:
    tracker = Tracker(AT_ONCE)
    ids(tracker, 0, (100, 50), (300, 50))
    assert follow(tracker, 33, {2: face_at(100, 300, 50)}) == [2]
    assert tracker.lost_ns == 0
    assert follow(tracker, 66, {1: face_at(100, 50, 50), 2: face_at(100, 300, 50)}) == [1, 2]
    assert tracker.lost_ns is None


def test_a_search_corrects_what_was_followed() -> None:
    tracker = Tracker(AT_ONCE)
    ids(tracker, 0, (100, 50))
    sought = face_at(104, 50, 50)
    (track,) = tracker.update(33 * MS, {1: face_at(102, 50, 50)}, [sought])
    assert (track.id, track.face) == (1, sought)


def test_two_tracks_on_one_face_become_the_older_one() -> None:
    tracker = Tracker(AT_ONCE)
    ids(tracker, 0, (100, 50), (160, 50))
    assert follow(tracker, 33, {1: face_at(130, 50, 50), 2: face_at(131, 50, 50)}) == [1]


def test_a_new_face_counts_when_it_is_seen_again() -> None:
    tracker = Tracker(TrackSettings(min_hits=2, confirm_score=1))
    ids(tracker, 0, (100, 50))  # nothing before: counts at once
    known, new = face_at(100, 50, 50), face_at(300, 50, 50, score=0.91)
    assert [track.id for track in tracker.update(33 * MS, {1: known}, [known, new])] == [1]
    assert 2 in tracker.predict(66 * MS), "it is looked for although it does not count"
    assert follow(tracker, 66, {1: known, 2: new}) == [1, 2]


def test_a_sure_new_face_counts_at_once() -> None:
    tracker = Tracker(TrackSettings(min_hits=2, confirm_score=0.98))
    ids(tracker, 0, (100, 50))
    assert ids(tracker, 33, (100, 50), (300, 50)) == [1, 2]


def test_a_face_that_was_seen_once_is_soon_forgotten() -> None:
    tracker = Tracker(TrackSettings(min_hits=2, confirm_score=1))
    known = face_at(100, 50, 50)
    ids(tracker, 0, (100, 50))
    tracker.update(33 * MS, {1: known}, [known, face_at(300, 50, 50)])
    for step in range(2, 6):
        assert follow(tracker, 33 * step, {1: known}) == [1]
        assert tracker.lost_ns is None, "what never counted cannot be missing"
    assert set(tracker.predict(200 * MS)) == {1}


def test_a_new_face_in_an_empty_room_is_looked_at_twice() -> None:
    tracker = Tracker(TrackSettings(min_hits=2, confirm_score=1))
    assert ids(tracker, 0) == []
    assert tracker.update(33 * MS, {}, [face_at(100, 50, 50)]) == ()
    assert ids(tracker, 66, (100, 50)) == [1]


def test_a_picture_of_its_own_shows_every_face_at_once() -> None:
    tracker = Tracker(TrackSettings(min_hits=2, confirm_score=1))
    ids(tracker, 0, (100, 50))
    tracks = tracker.update(1000 * MS, {}, [face_at(100, 50, 50), face_at(300, 50, 50)], still=True)
    assert [track.id for track in tracks] == [1, 2]


def test_what_no_search_finds_is_followed_only_so_long() -> None:
    tracker = Tracker(TrackSettings(revalidate_ms=1000))
    ids(tracker, 0, (100, 50))
    poster = face_at(100, 50, 50)
    assert [track.id for track in tracker.update(1000 * MS, {1: poster}, [])] == [1]
    assert [track.id for track in tracker.update(1033 * MS, {1: poster})] == [1], "only a search ends it"
    assert tracker.update(1066 * MS, {1: poster}, []) == ()
    assert tracker.predict(1100 * MS) == {}


def test_a_search_renews_trust() -> None:
    tracker = Tracker(TrackSettings(revalidate_ms=1000))
    for at_ms in range(0, 5000, 500):
        assert ids(tracker, at_ms, (100, 50)) == [1]


def test_a_face_that_is_found_again_in_the_last_frame_of_its_track_keeps_its_id() -> None:
    tracker = Tracker(TrackSettings(max_age_ms=0, min_missed_frames=2))
    ids(tracker, 0, (100, 50))
    follow(tracker, 500, {})
    assert set(tracker.predict(1000 * MS)) == {1}
    assert follow(tracker, 1000, {1: face_at(100, 50, 50)}) == [1]


def test_after_an_hour_nobody_is_the_same() -> None:
    tracker = Tracker(TrackSettings(min_missed_frames=3, min_hits=1))
    ids(tracker, 0, (100, 50))
    assert ids(tracker, 3_600_000, (100, 50)) == [2]


def test_another_scene_begins_with_new_ids() -> None:
    tracker = Tracker(TrackSettings(min_hits=2, confirm_score=1))
    ids(tracker, 0, (100, 50))
    tracker.reset()
    assert ids(tracker, 33, (100, 50)) == [2]


@given(st.lists(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=6), max_size=12))
def test_ids_are_unique_and_never_used_again(frames: list[list[tuple[int, int]]]) -> None:
    tracker = Tracker(TrackSettings(max_age_ms=0, min_missed_frames=1, min_hits=1))
    seen: set[int] = set()
    last: set[int] = set()
    for step, places in enumerate(frames):
        tracks = tracker.update(step * 33 * MS, {}, [face_at(x, y, 50) for x, y in places])
        found = {track.id for track in tracks}
        assert len(found) == len(places)
        assert not found & (seen - last), "an id that had ended came back"
        seen |= found
        last = found


@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.integers(1, 400))
def test_a_steady_face_is_expected_exactly_where_it_will_be(x: float, y: float, pause_ms: int) -> None:
    tracker = Tracker(AT_ONCE)
    tracker.update(0, {}, [face_at(200, 200, 50)])
    for at_ms in range(40, 400, 40):
        tracker.update(at_ms * MS, {1: face_at(200 + x * at_ms, 200 + y * at_ms, 50)})
    glide = min(pause_ms, 200)
    expected = Box(200 + x * (360 + glide), 200 + y * (360 + glide), 50, 50)
    assert tuple(tracker.predict((360 + pause_ms) * MS)[1]) == pytest.approx(tuple(expected), abs=0.01)
