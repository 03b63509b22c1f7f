from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_fer.faces.quality import readability
from edge_fer.recognizer import FoundFaces, RecognizedFaces
from edge_fer.status.track_history import SeenTrack, TrackHistory
from edge_fer.types import LABELS, AlignedFace, Frame, Label, Origin, Quality, Track
from tests.support.records import face_at, make_face_reading

MS = 10**6
MTCNN = Origin("mtcnn", "cpu")
GOOD = Quality(eye_distance=40.0, blur=0.022, yaw=0.0, pitch=0.0)


def see(
    history: TrackHistory, frame_id: int, at_ms: int, labels: dict[int, Label | None], quality: Quality = GOOD
) -> None:
    """A frame in which tracks show these labels."""
    image = np.zeros((8, 8, 3), np.uint8)
    frame = Frame(frame_id, image, (at_ms + 1000) * MS, at_ms / 1e3, at_ms * MS, position_ns=at_ms * MS, file="a.mp4")
    faces = tuple(AlignedFace(Track(key, face_at(0, 0, 50)), image[:, :, 0], quality) for key in sorted(labels))
    readings = tuple(replace(make_face_reading(labels[face.track.id]), id=face.track.id) for face in faces)
    history.add(FoundFaces(frame, faces, MTCNN), RecognizedFaces(readings, Origin("model", "cpu"), MTCNN))


def shares(track: SeenTrack) -> dict[Label | None, float]:
    return {label: share for label, share in track.shares.items() if share}


def test_each_track_is_taken_once_when_it_has_ended() -> None:
    history = TrackHistory()
    see(history, 0, 0, {3: "fear", 1: None})
    see(history, 1, 33, {3: "fear", 4: "anger"})
    assert list(history.take_ended({1, 3, 4, 9})) == []
    (first,) = history.take_ended({3, 4, 9})
    assert (first.id, first.frames_seen, first.model) == (1, 1, "model")
    assert [track.id for track in history.take_ended()] == [3, 4]
    assert list(history.take_ended()) == []


def test_it_says_when_a_face_was_seen_first_and_last() -> None:
    history = TrackHistory()
    for frame, at_ms in enumerate((0, 100, 900)):
        see(history, frame, at_ms, {} if frame == 0 else {5: "fear"})
    see(history, 3, 950, {})
    (track,) = history.take_ended()
    assert (track.first.scene_ns, track.last.scene_ns) == (100 * MS, 900 * MS)
    assert (track.first.captured_ns, track.last.captured_ns) == (1100 * MS, 1900 * MS)
    assert (track.first.captured_at, track.last.position_ns, track.last.file) == (0.1, 900 * MS, "a.mp4")


def test_labels_count_for_as_long_as_they_were_shown() -> None:
    """Four frames of fear in 120 ms, then two of surprise in 380 ms; while the face is missed it shows nothing."""
    history = TrackHistory()
    see(history, 0, 0, {})
    for frame, at_ms in enumerate((30, 60, 90, 120)):
        see(history, frame, at_ms, {7: "fear"})
    see(history, 5, 5000, {})
    see(history, 6, 5180, {7: "surprise"})
    see(history, 7, 5380, {7: "surprise"})
    see(history, 8, 5500, {7: None})
    (track,) = history.take_ended()
    assert shares(track) == pytest.approx({"fear": 120 / 620, "surprise": 380 / 620, None: 120 / 620})
    assert list(track.shares) == [*LABELS, None]


def test_a_face_that_was_seen_in_the_first_frame_only_has_shares_all_the_same() -> None:
    history = TrackHistory()
    see(history, 0, 0, {7: "fear"})
    assert shares(next(history.take_ended())) == {"fear": 1.0}


def test_the_pose_is_the_mean_and_a_camera_may_be_upside_down() -> None:
    history = TrackHistory()
    see(history, 0, 0, {7: "fear"}, replace(GOOD, yaw=10.0, pitch=-4.0, roll=178.0))
    see(history, 1, 33, {7: "fear"}, replace(GOOD, yaw=-30.0, pitch=5.0, roll=-178.0))
    pose = next(history.take_ended()).pose
    assert (pose.yaw, pose.pitch, abs(pose.roll)) == (-10.0, 0.5, 180.0)


def test_the_best_frame_is_large_sharp_and_from_the_front() -> None:
    worse = [
        replace(GOOD, eye_distance=20.0),
        replace(GOOD, blur=0.03),
        replace(GOOD, yaw=-40.0),
        replace(GOOD, pitch=30.0),
    ]
    history = TrackHistory()
    for frame, quality in enumerate([*worse, GOOD, GOOD, *worse]):
        see(history, frame, frame * 33, {7: "fear"}, quality)
        assert 0 < readability(quality) <= readability(GOOD) == 1
    assert next(history.take_ended()).best_frame == 4


def test_a_picture_of_nothing_can_be_compared() -> None:
    assert readability(Quality(0.0, 0.0, 0.0, 0.0)) == 0
    assert readability(replace(GOOD, yaw=120.0)) == 0
