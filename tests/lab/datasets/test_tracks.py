"""Synthetic tracks: the same seed makes the same ones, no face crosses a split, and faults last."""

from __future__ import annotations

import numpy as np
import pytest

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.clips import Clip, Clips
from edge_fer.lab.datasets.dataset import Dataset, Split, hard
from edge_fer.lab.datasets.faults import CHANGES, LONGEST, OTHER_PERSON, Fault, draw_faults, spoiled_frames
from edge_fer.lab.datasets.tracks import (
    FRAMES,
    SHARES,
    SIDE,
    SyntheticTrack,
    are_tracks,
    as_tracks,
    every_frame,
    peak_of,
    random_walk,
    read_track,
    synthetic_tracks,
    tracks_of_clips,
)

pytestmark = pytest.mark.lab

SPLITS = np.array([0] * 8 + [1] * 4 + [2] * 3, np.uint8)


def faces() -> Dataset:
    """Faces of which each is one grey value, 10 apart."""
    values = (np.arange(len(SPLITS)) * 10 + 60).astype(np.uint8)
    pictures = np.broadcast_to(values[:, None, None], (len(SPLITS), 48, 48)).copy()
    return hard("faces", pictures, np.arange(len(SPLITS)) % 7, SPLITS, {})


def track(tracks: Dataset, index: int, rendering: int = 0) -> SyntheticTrack:
    found = read_track(tracks.images, index, rendering)
    assert isinstance(found, SyntheticTrack)
    return found


def test_the_same_seed_makes_the_same_frames_and_another_one_others() -> None:
    first, again, other = (synthetic_tracks(faces(), seed) for seed in (5, 5, 6))
    pairs = [[np.stack([*track(tracks, 3)]) for tracks in (first, others)] for others in (again, other)]
    assert np.array_equal(*pairs[0])
    assert not np.array_equal(*pairs[1])
    assert pairs[0][0].shape == (FRAMES, SIDE, SIDE)


def test_splits_draw_other_numbers_and_each_lap_is_another_track() -> None:
    tracks = synthetic_tracks(faces())
    walks = [track(tracks, index).walk for index in (0, 8, 12)] + [track(tracks, 0, 1).walk]
    assert len({walk.tobytes() for walk in walks}) == 4


def test_another_person_is_another_face_of_the_same_split() -> None:
    tracks = synthetic_tracks(faces())
    for index in range(len(SPLITS)):
        others = {track(tracks, index, rendering).other for rendering in range(90)}
        assert index not in others
        assert {int(SPLITS[other]) for other in others} == {int(SPLITS[index])}
        assert others == set(np.flatnonzero(SPLITS[index] == SPLITS).tolist()) - {index}


def test_a_subset_of_tracks_keeps_its_tracks_labels_and_votes() -> None:
    whole = synthetic_tracks(faces())
    part = whole.only(Split.VALIDATION)
    assert are_tracks(part.images)
    assert np.array_equal(part.labels, whole.labels[8:12])
    assert np.array_equal(np.stack([*track(part, 1)]), np.stack([*track(whole, 9)]))
    assert peak_of(part.images, 1) is None
    assert as_tracks(part) is part


def test_runs_of_faults_cover_the_track_and_last_up_to_six_frames() -> None:
    lengths = []
    for seed in range(200):
        faults = draw_faults(FRAMES, np.random.default_rng(seed))
        assert [fault.first for fault in faults] == np.cumsum([0, *(f.count for f in faults[:-1])]).tolist()
        assert sum(fault.count for fault in faults) == FRAMES
        lengths += [fault.count for fault in faults]
    assert (min(lengths), max(lengths)) == (1, LONGEST)


@pytest.mark.parametrize("share", SHARES)
def test_a_share_of_the_frames_is_spoiled(share: float) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert spoiled_frames(draw_faults(FRAMES, rng), share, rng).sum() == share * FRAMES


def test_shares_of_tracks_are_drawn_from_all_four() -> None:
    tracks = synthetic_tracks(faces())
    assert {track(tracks, 0, rendering).spoiled.mean() for rendering in range(40)} == set(SHARES)


@pytest.mark.parametrize("kind", CHANGES)
def test_each_fault_changes_the_frame_and_the_same_one_all_along(kind: str) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    fault = Fault(kind, 0, 3, seed=1)
    spoilt = fault.spoil(frame)
    assert (spoilt.shape, spoilt.dtype) == (frame.shape, frame.dtype)
    assert np.abs(spoilt.astype(int) - frame).mean() > 5
    assert np.array_equal(spoilt, fault.spoil(frame))
    assert fault.spoil(np.repeat(frame[..., None], 3, axis=2)).shape == (SIDE, SIDE, 3)


def test_a_track_that_jumps_shows_the_other_face() -> None:
    tracks = synthetic_tracks(faces())
    film = next(
        film
        for film in (track(tracks, 0, rendering) for rendering in range(500))
        if film.spoiled[0] and film.faults[0].kind == OTHER_PERSON
    )
    steady = film.walk[0, 4] * 0.15
    assert film[0].mean() == pytest.approx((film.other * 10 + 60) * np.exp(steady), abs=2)
    assert film.clean(0).mean() == pytest.approx(60 * np.exp(steady), abs=2)


def test_a_walk_is_smooth_and_keeps_its_bounds() -> None:
    walk = random_walk(2000, 5, np.random.default_rng(0))
    assert np.abs(walk).max() <= 1
    assert 0.4 < walk.std() < 0.55
    assert np.abs(np.diff(walk, axis=0)).mean() < 0.25


def test_a_split_of_one_face_is_refused() -> None:
    few = faces().take(np.array([0, 1, 8]))
    with pytest.raises(SourceError, match="expected at least two faces in each split of faces"):
        synthetic_tracks(few)


def test_clips_are_tracks_too() -> None:
    pictures = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((5, 4, 4), np.uint8)
    clips = tuple(
        Clip(f"p{number}_1", pictures, label, f"p{number}", np.arange(5), peak)
        for number, (label, peak) in enumerate([(3, 4), (6, None)])
    )
    tracks = tracks_of_clips(Clips("films", clips, np.array([0, 1], np.uint8)))
    assert are_tracks(tracks.images)
    assert as_tracks(tracks) is tracks
    assert tracks.labels.tolist() == [3, 6]
    assert [int(tracks.images[index].max()) for index in (0, 1)] == [4, 2]
    assert [peak_of(tracks.images, index) for index in (0, 1)] == [4, None]
    assert len(read_track(tracks.only(Split.VALIDATION).images, 0)) == 5


def test_frames_of_clips_are_faces_where_labels_do_not_count() -> None:
    clips = tuple(
        Clip(f"p{number}_1", np.full((frames, 4, 4), 10 * number, np.uint8), number, f"p{number}", np.arange(frames))
        for number, frames in enumerate([3, 2, 4])
    )
    tracks = tracks_of_clips(Clips("films", clips, np.array([0, 1, 0], np.uint8)))
    frames = every_frame(tracks.only(Split.TRAINING))
    assert frames.labels.tolist() == [0] * 3 + [2] * 4
    assert [int(frames.images[index].max()) for index in range(len(frames))] == [0] * 3 + [20] * 4
    assert not are_tracks(frames.images)
    assert len(every_frame(tracks)) == 9
    for others in (faces(), synthetic_tracks(faces())):
        assert every_frame(others) is others
