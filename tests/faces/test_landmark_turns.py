"""Landmarks by turns: everybody's comes, new faces are measured at once, and what is kept moves with its box."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.faces.coordinates import UNMEASURED
from edge_fer.faces.landmark_turns import LandmarkTurns
from edge_fer.types import Box, Expression, Face, Image, Track
from tests.faces.test_finder import FakeDetector
from tests.support.records import face_at

MS = 1_000_000
PICTURE = np.zeros((8, 8, 3), np.uint8)
SURE = Expression((1.0,) + (0.0,) * 6)


class Measuring(FakeDetector):
    """Finds the landmarks of an upright face in each box, and notes which boxes it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[int]] = []

    def follow(self, image: Image, expected: Mapping[int, Box]) -> dict[int, Face]:
        self.asked.append(sorted(expected))
        return {key: face_at(box.x, box.y, box.width) for key, box in expected.items()}


def track(key: int, x: float = 0.0, size: float = 40.0) -> Track:
    return Track(key, Face(Box(x, 20.0, size, size), 0.9, UNMEASURED, SURE))


@given(st.lists(st.sets(st.integers(1, 8), max_size=8), max_size=30))
def test_turns_are_fair_whoever_comes_and_goes(frames: list[set[int]]) -> None:
    network = Measuring()
    turns = LandmarkTurns(network)
    shown_since: dict[int, int] = {}  # frames of each face since it was measured last
    for time, present in enumerate(frames):
        known = present & shown_since.keys()
        measured = turns.measure(PICTURE, [track(key) for key in sorted(present)], time * MS)
        asked = set(network.asked[-1])
        assert asked >= present - known, "a new face is measured in its first frame"
        assert len(asked & known) == min(len(known), 1), "and one of the others"
        for key in present:
            shown_since[key] = 0 if key in asked else shown_since[key] + 1
            assert shown_since[key] < 8, "at least once in as many of its frames as there are faces"
        assert {one.id for one in measured if one.face.landmarks_lag_ns == 0} >= asked


def test_one_face_is_measured_in_every_frame() -> None:
    network = Measuring()
    turns = LandmarkTurns(network)
    for time in range(5):
        (one,) = turns.measure(PICTURE, [track(7, x=time)], time * MS)
        assert one.face == Face(track(7, x=time).face.box, 0.9, face_at(time, 20, 40).landmarks)
        assert (one.face.landmarks_lag_ns, one.face.expression) == (0, SURE)
    assert network.asked == [[7]] * 5


coordinates = st.floats(-500, 500)
sizes = st.floats(1, 600)


@given(x=coordinates, moved=coordinates, size=sizes, grown=sizes)
def test_between_its_turns_a_faces_landmarks_stay_at_the_same_places_of_its_box(
    x: float, moved: float, size: float, grown: float
) -> None:
    turns = LandmarkTurns(Measuring())
    turns.measure(PICTURE, [track(1), track(2, x, size)], 0)
    turned, kept = turns.measure(PICTURE, [track(1), track(2, moved, grown)], 40 * MS)
    assert (turned.face.landmarks_lag_ns, kept.face.landmarks_lag_ns) == (0, 40 * MS)
    assert kept.face.box == Box(moved, 20, grown, grown)
    there = face_at(moved, 20, grown).landmarks
    np.testing.assert_allclose(kept.face.landmarks.points, there.points, atol=1e-6)
    assert all(moved <= point.x <= moved + grown for point in kept.face.landmarks.points)
    assert all(20 <= point.y <= 20 + grown for point in kept.face.landmarks.points)


def test_a_box_without_area_does_no_harm() -> None:
    turns = LandmarkTurns(Measuring())
    turns.measure(PICTURE, [track(1), track(2, 0, 0)], 0)
    _, kept = turns.measure(PICTURE, [track(1), track(2, 10, 20)], MS)
    assert np.isfinite(kept.face.landmarks.points).all()


def test_a_face_that_is_forgotten_is_new_when_it_comes_again() -> None:
    network = Measuring()
    turns = LandmarkTurns(network)
    both = [track(1), track(2)]
    turns.measure(PICTURE, both, 0)
    turns.keep({1})
    turns.measure(PICTURE, both, MS)
    assert network.asked == [[1, 2], [1, 2]]
    turns.close()
    assert network.is_closed


def test_a_frame_without_faces_has_none() -> None:
    assert LandmarkTurns(Measuring()).measure(PICTURE, [], 0) == ()
