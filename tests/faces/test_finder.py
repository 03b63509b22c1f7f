from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from edge_fer.errors import BackendError
from edge_fer.faces.boxes import corners_of, overlap
from edge_fer.faces.detectors import open_detector, open_follower
from edge_fer.faces.finder import Finder, open_finder
from edge_fer.faces.resize import fit
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import DetectSettings, Settings
from edge_fer.status.monitor import Monitor
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Box, Expression, Face, Image, Origin, Track
from tests.support.records import face_at

MS = 1_000_000
FRAME_MS = 33


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    """Two faces that move for a second and a half."""
    scene = crowd_scene(seed=3, faces=2, frames=45)
    return [scene.render(index) for index in range(45)]


@pytest.fixture
def monitor() -> Monitor:
    return Monitor(600)


Work = Callable[[], None]


def at_once(work: Work) -> None:
    """A search beside a frame that ends before the next one."""
    work()


@pytest.fixture
def finder(monitor: Monitor) -> Iterator[Finder]:
    settings, store = Settings(), ModelStore()
    detector, follower = open_detector(settings.detect, store), open_follower(settings.detect, settings.track, store)
    with Finder(settings, detector, follower, monitor.stage, run_beside=at_once) as finder:
        yield finder


def find(finder: Finder, frames: list[Image], *, live: bool) -> list[tuple[Track, ...]]:
    return [finder.find(image, index * FRAME_MS * MS, live=live) for index, image in enumerate(frames)]


class FakeDetector:
    """Finds one face in every picture, and counts; or fails."""

    origin = Origin("fake", "cpu")
    reason: str | None = None
    devices = ()

    def __init__(self) -> None:
        self.searches = 0
        self.error: Exception | None = None
        self.is_closed = False

    def find(self, image: Image, *, landmarks: bool = True) -> tuple[Face, ...]:
        self.searches += 1
        if self.error is not None:
            raise self.error
        return (face_at(100, 50, 50),)

    def follow(self, image: Image, expected: dict[int, Box]) -> dict[int, Face]:
        return {key: Face(box, 1.0, face_at(100, 50, 50).landmarks) for key, box in expected.items()}

    def wait_until_opened(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def fake_finder(detector: FakeDetector, follower: FakeDetector | None, **settings: Any) -> Finder:
    def stage(name: str) -> AbstractContextManager[None]:
        return nullcontext()

    return Finder(Settings(), detector, follower, stage, **settings)


def test_faces_between_key_frames_are_those_that_a_search_finds(
    finder: Finder, monitor: Monitor, frames: list[Image]
) -> None:
    tracks = find(finder, frames, live=False)
    with open_detector(Settings().detect, ModelStore()) as detector:
        for index in range(0, len(frames), 5):
            sought = corners_of([face.box for face in detector.find(frames[index])])
            here = corners_of([track.face.box for track in tracks[index]])
            assert len(sought) == len(here) == 2
            assert overlap(sought, here).max(axis=1).min() > 0.7
    assert {track.id for frame in tracks for track in frame} == {1, 2}
    times = monitor.stage_times()
    assert times["keyframe"].count == times["follow"].count == len(frames)
    assert times["detect"].count < len(frames) / 3


def test_faces_of_a_large_frame_are_told_in_its_own_pixels(finder: Finder, frames: list[Image]) -> None:
    large = [cv2.resize(frame, None, fx=2.5, fy=2.5) for frame in frames[:6]]
    tracks = find(finder, [np.asarray(frame, np.uint8) for frame in large], live=False)
    with open_detector(Settings().detect, ModelStore()) as detector:
        sought = corners_of([face.box for face in detector.find(np.asarray(large[5], np.uint8))])
    here = corners_of([track.face.box for track in tracks[5]])
    assert len(sought) == len(here) == 2
    assert overlap(sought, here).max(axis=1).min() > 0.7


def test_a_live_source_is_searched_beside_its_frames(finder: Finder, monitor: Monitor, frames: list[Image]) -> None:
    tracks = find(finder, frames, live=True)
    assert Counter(len(frame) for frame in tracks) == {2: len(frames)}, "the first frame waits for its search"
    assert {track.id for frame in tracks for track in frame} == {1, 2}
    assert monitor.stage_times()["detect"].count < len(frames) / 3


def test_faces_that_were_found_before_a_cut_do_not_appear_after_it(frames: list[Image]) -> None:
    searches: list[Work] = []
    detector = FakeDetector()
    with fake_finder(detector, FakeDetector(), run_beside=searches.append) as finder:
        assert [track.id for track in finder.find(frames[0], 0, live=True)] == [1]
        finder.find(frames[0], 2000 * MS, live=True)
        (search,) = searches
        search()
        assert [track.id for track in finder.find(255 - frames[0], 2033 * MS, live=True)] == [2], "its own search"
        assert detector.searches == 3
        finder.find(255 - frames[0], 2066 * MS, live=True)
        assert finder.ids == {2}, "the face of the search before the cut would be another one"


def test_stills_are_searched_each_for_itself(finder: Finder, monitor: Monitor, frames: list[Image]) -> None:
    found = [finder.find(frames[index], index * 10**9, live=False, still=True) for index in (0, 20)]
    assert [len(tracks) for tracks in found] == [2, 2]
    assert list(monitor.stage_times()) == ["detect", "track"]


def test_without_key_frames_every_frame_is_searched(monitor: Monitor, frames: list[Image]) -> None:
    settings = Settings.model_validate({"keyframe": {"enabled": False}})
    with open_finder(settings, ModelStore(), monitor.stage) as finder:
        tracks = find(finder, frames[:6], live=False)
    assert monitor.stage_times()["detect"].count == 6
    assert {track.id for frame in tracks for track in frame} == {1, 2}


@pytest.mark.parametrize("live", [True, False])
def test_without_a_follower_every_frame_is_searched(frames: list[Image], live: bool) -> None:
    detector = FakeDetector()
    with fake_finder(detector, None) as finder:
        assert [len(tracks) for tracks in find(finder, frames[:6], live=live)] == [1] * 6
    assert detector.searches == 6


def test_an_error_of_the_search_reaches_the_next_frame(frames: list[Image]) -> None:
    detector = FakeDetector()
    with fake_finder(detector, FakeDetector(), run_beside=at_once) as finder:
        finder.find(frames[0], 0, live=True)
        detector.error = MemoryError("no room")
        finder.find(frames[0], 2000 * MS, live=True)
        with pytest.raises(MemoryError, match="no room"):
            finder.find(frames[0], 2033 * MS, live=True)


def test_closing_waits_for_a_search_but_not_for_ever(frames: list[Image]) -> None:
    searches: list[Work] = []
    detector, follower = FakeDetector(), FakeDetector()
    finder = fake_finder(detector, follower, run_beside=searches.append, stop_s=0.01)
    finder.find(frames[0], 0, live=True)
    finder.find(frames[0], 2000 * MS, live=True)
    with pytest.raises(BackendError, match="found it stuck"):
        finder.close()
    assert not detector.is_closed, "the search that is running still needs the networks"
    searches.pop()()
    finder.close()
    assert (detector.is_closed, follower.is_closed) == (True, True)


def test_a_search_of_a_live_source_runs_in_a_thread_of_its_own(frames: list[Image]) -> None:
    detector = FakeDetector()
    with fake_finder(detector, FakeDetector(), stop_s=30) as finder:
        finder.find(frames[0], 0, live=True)
        finder.find(frames[0], 2000 * MS, live=True)
    assert detector.searches == 2, "closing waits for it"


def test_what_a_search_beside_the_frames_read_goes_with_the_face_and_its_age() -> None:
    class Reader(FakeDetector):
        def find(self, image: Image, *, landmarks: bool = True) -> tuple[Face, ...]:
            return tuple(replace(face, expression=Expression((1.0,) + (0.0,) * 6)) for face in super().find(image))

    finder = fake_finder(Reader(), FakeDetector(), run_beside=at_once)
    picture = np.zeros((100, 200, 3), np.uint8)
    first = finder.find(picture, 0, live=False)[0].face.expression
    assert first is not None
    assert first.age_ns == 0
    seen = [finder.find(picture, time_ms * MS, live=True)[0].face.expression for time_ms in (1100, 1140, 1180)]
    assert [expression and expression.age_ns for expression in seen] == [None, 40 * MS, None]


OWN = {"kind": "yolo", "labels": "own", "precision": "float32"}


@pytest.fixture(scope="module")
def crowd() -> list[Image]:
    """Four faces that stand still for five frames, no larger than what is searched."""
    return [fit(crowd_scene(seed=3, faces=4, frames=1).render(0), DetectSettings().size)] * 5


def searched(images: list[Image], **sections: Any) -> tuple[list[tuple[Track, ...]], list[tuple[Face, ...]], Monitor]:
    """What a run finds in each frame and what its detector finds there alone, by their places, with the run's times."""
    settings, monitor = Settings.model_validate(sections), Monitor(600)
    with open_finder(settings, ModelStore(), monitor.stage) as finder:
        tracks = find(finder, images, live=False)
    with open_detector(settings.detect, ModelStore()) as detector:
        alone = [tuple(sorted(detector.find(image), key=lambda face: face.box)) for image in images]
    return tracks, alone, monitor


def by_place(tracks: tuple[Track, ...]) -> tuple[Face, ...]:
    return tuple(sorted((track.face for track in tracks), key=lambda face: face.box))


def test_where_faces_are_read_in_every_frame_their_landmarks_are_measured_by_turns(crowd: list[Image]) -> None:
    tracks, alone, monitor = searched(crowd, detect=OWN, keyframe={"enabled": False})
    assert [sum(not track.face.landmarks_lag_ns for track in frame) for frame in tracks] == [4, 1, 1, 1, 1]
    assert {track.id for frame in tracks[1:] for track in frame if not track.face.landmarks_lag_ns} == {1, 2, 3, 4}
    assert [by_place(frame) for frame in tracks] == alone, "a face that stands still is where it would be found"
    assert all(track.face.expression for frame in tracks for track in frame)
    assert monitor.stage_times()["landmarks"].count == 5


@pytest.mark.parametrize(
    ("detect", "keyframe"),
    [
        ({}, {"enabled": False}),
        ({**OWN, "labels": "classifier"}, {"enabled": False}),
        (OWN, {"enabled": False, "aligned": True}),
    ],
    ids=["mtcnn", "classifier", "aligned"],
)
def test_otherwise_landmarks_are_those_of_the_detector_in_every_frame(
    crowd: list[Image], detect: dict[str, object], keyframe: dict[str, object]
) -> None:
    tracks, alone, monitor = searched(crowd[:2], detect=detect, keyframe=keyframe)
    assert [by_place(frame) for frame in tracks] == alone
    assert not any(track.face.landmarks_lag_ns for frame in tracks for track in frame)
    assert "landmarks" not in monitor.stage_times()


def test_faces_of_a_still_and_of_a_new_scene_are_measured_at_once(crowd: list[Image]) -> None:
    settings = Settings.model_validate({"detect": OWN, "keyframe": {"enabled": False}})
    with open_finder(settings, ModelStore(), Monitor(600).stage) as finder:
        for index, image in enumerate(crowd[:2]):
            seen = finder.find(image, index * MS, live=False, still=True)
            assert [track.face.landmarks_lag_ns for track in seen] == [0] * 4
        finder.reset()
        seen = finder.find(crowd[2], 2 * MS, live=False)
        assert [track.face.landmarks_lag_ns for track in seen] == [0] * 4
        seen = finder.find(crowd[3], 3 * MS, live=False)
        assert sorted(track.face.landmarks_lag_ns for track in seen) == [0] + [MS] * 3
