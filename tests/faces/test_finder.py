from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge_fer.errors import BackendError
from edge_fer.faces import finder as find_module
from edge_fer.faces.boxes import corners_of, overlap
from edge_fer.faces.detectors.mtcnn.detector import open_detector
from edge_fer.faces.finder import Finder
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import Settings
from edge_fer.status.monitor import Monitor
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Image, Track

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


@pytest.fixture
def finder(monitor: Monitor) -> Iterator[Finder]:
    with Finder(Settings(), ModelStore(), monitor.stage) as finder:
        yield finder


def find(finder: Finder, frames: list[Image], *, live: bool) -> list[tuple[Track, ...]]:
    """The tracks of each frame; a search of a live source ends before the frame after it."""
    tracks = []
    for index, image in enumerate(frames):
        tracks.append(finder.find(image, index * FRAME_MS * MS, live=live))
        if finder._search is not None:
            finder._search.exception()
    return tracks


def test_faces_between_key_frames_are_those_that_a_search_finds(
    finder: Finder, monitor: Monitor, frames: list[Image]
) -> None:
    tracks = find(finder, frames, live=False)
    with open_detector(Settings().detect, ModelStore()) as detector:
        for index in range(0, len(frames), 5):
            sought = corners_of([face.box for face in detector.detect(frames[index])])
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
        sought = corners_of([face.box for face in detector.detect(np.asarray(large[5], np.uint8))])
    here = corners_of([track.face.box for track in tracks[5]])
    assert len(sought) == len(here) == 2
    assert overlap(sought, here).max(axis=1).min() > 0.7


def test_a_live_source_is_searched_beside_its_frames(finder: Finder, monitor: Monitor, frames: list[Image]) -> None:
    tracks = find(finder, frames, live=True)
    assert Counter(len(frame) for frame in tracks) == {2: len(frames)}, "the first frame waits for its search"
    assert {track.id for frame in tracks for track in frame} == {1, 2}
    assert monitor.stage_times()["detect"].count < len(frames) / 3


def test_what_was_sought_before_a_cut_is_not_found_after_it(finder: Finder, frames: list[Image]) -> None:
    empty = np.where(np.arange(frames[0].shape[1])[:, None] % 64 < 32, 30, 220).astype(np.uint8)
    empty = np.broadcast_to(empty, frames[0].shape).copy()
    assert len(finder.find(frames[0], 0, live=True)) == 2
    finder.find(frames[0], 2000 * MS, live=True)
    assert finder._search is not None, "the next search is due"
    assert finder.find(empty, 2033 * MS, live=True) == ()
    assert finder._search is None
    finder.find(empty, 2066 * MS, live=True)
    assert finder._search is not None
    finder._search.exception()
    assert finder.find(empty, 2100 * MS, live=True) == ()
    assert {track.id for track in finder.find(frames[0], 2133 * MS, live=True)} == {3, 4}, "a scene of its own"


def test_stills_are_searched_each_for_itself(finder: Finder, monitor: Monitor, frames: list[Image]) -> None:
    found = [finder.find(frames[index], index * 10**9, live=False, still=True) for index in (0, 20)]
    assert [len(tracks) for tracks in found] == [2, 2]
    assert list(monitor.stage_times()) == ["detect", "track"]


def test_without_key_frames_every_frame_is_searched(monitor: Monitor, frames: list[Image]) -> None:
    settings = Settings.model_validate({"keyframe": {"enabled": False}})
    with Finder(settings, ModelStore(), monitor.stage) as finder:
        tracks = find(finder, frames[:6], live=False)
    assert monitor.stage_times()["detect"].count == 6
    assert {track.id for frame in tracks for track in frame} == {1, 2}


def test_an_error_of_the_search_reaches_the_next_frame(
    finder: Finder, frames: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    def detect(image: Image) -> None:
        raise MemoryError("no room")

    finder.find(frames[0], 0, live=True)
    monkeypatch.setattr(finder._detector, "detect", detect)
    finder.find(frames[0], 2000 * MS, live=True)
    assert finder._search is not None
    finder._search.exception()
    with pytest.raises(MemoryError, match="no room"):
        finder.find(frames[0], 2033 * MS, live=True)


def test_closing_does_not_wait_for_ever_for_a_search(frames: list[Image], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_module, "STOP_S", 0.05)
    done = threading.Event()
    finder = Finder(Settings(), ModelStore(), Monitor(600).stage)
    finder.find(frames[0], 0, live=True)
    with monkeypatch.context() as stuck:
        stuck.setattr(finder._detector, "detect", lambda _: done.wait(30) and ())
        finder.find(frames[0], 2000 * MS, live=True)
        with pytest.raises(BackendError, match="found it stuck"):
            finder.close()
        done.set()
    monkeypatch.setattr(find_module, "STOP_S", 30)
    finder.close()
    assert finder._search is not None
    assert finder._search.result() == ()
