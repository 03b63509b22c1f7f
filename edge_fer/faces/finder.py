r"""The faces of each frame: searched for in key frames, followed in between.

    key frame?  --yes--> detector (the whole picture) --\
         \-------------> follower (where tracks expect faces) --> tracker

Where every frame is searched and the search reads faces, too (`detect.labels: own`), landmarks come after the tracker:
they are measured by turns, so that a frame of many faces takes about as long as one of a few.

All of it works on a copy of the frame with the long side `detect.size`, made once a frame and turned back where the
camera banks; the results are given in pixels of the frame. A search takes longer than a frame of a live source, so it
runs beside the frames: it searches the key frame, and the faces that it finds are followed into the frame that is
current by then. Only the first frame of a scene waits for its search, since nothing is known about the scene yet, and
a reading without faces could be wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from typing import NamedTuple

from edge_fer.common.closeable import Closeable
from edge_fer.common.deadline import Deadline
from edge_fer.errors import BackendError
from edge_fer.faces.derotate import SearchView, derotate
from edge_fer.faces.detectors import Detector, Follower, open_detector, open_follower, open_landmarks
from edge_fer.faces.keyframes import Keyframes, SearchReason
from edge_fer.faces.landmark_turns import LandmarkTurns
from edge_fer.faces.tracker import Tracker
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.shared_tpu import SharedTpu
from edge_fer.settings import Settings
from edge_fer.types import Box, Expression, Face, Image, Origin, Track

SEARCH_S = 60.0
"""A search that takes longer is stuck; on the slowest known board one takes seconds."""

STOP_S = 5.0
"""How long `Finder.close` waits for the search that is running, seconds."""

Stage = Callable[[str], AbstractContextManager[None]]
"""Times what runs within it, by the name of the stage; see `Monitor.stage`."""


def open_finder(
    settings: Settings,
    store: ModelStore,
    stage: Stage,
    tpu: SharedTpu | None = None,
    detector: Detector | None = None,
) -> Finder:
    """Open the detector that the settings name, and what follows its faces or gives them landmarks by turns.

    Args:
        settings: the run's settings.
        store: the folder of networks.
        stage: times each stage.
        tpu: the Edge TPU that the detector uses; None: it uses none.
        detector: in the place of the one that the settings name; None: that one.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when the CPU cannot run one.
    """
    with ExitStack() as stack:
        detector = stack.enter_context(closing(detector or open_detector(settings.detect, store, tpu)))
        follower = landmarks = None
        if settings.keyframe.enabled:
            follower = open_follower(settings.detect, settings.track, store)
        elif settings.detect.labels == "own" and not settings.keyframe.aligned:  # turns depend on what was before
            landmarks = open_landmarks(settings.detect, store)
        stack.pop_all()
    return Finder(settings, detector, follower, stage, turns=LandmarkTurns(landmarks) if landmarks else None)


def run_in_thread(work: Callable[[], None]) -> None:
    """Run something beside the caller, in a thread that does not keep the process alive."""
    threading.Thread(target=work, name="search", daemon=True).start()


class Finder(Closeable):
    """Finds the faces of frame after frame.

    Args:
        settings: the run's settings.
        detector: searches whole pictures; it is closed with the finder.
        follower: finds faces near where they are expected; it is closed with the finder. None: every frame is searched.
        stage: times each stage.
        turns: measures landmarks; it is closed with the finder. None: the detector measures those of every face.
        run_beside: runs a search beside the frames of a live source.
        stop_s: how long `close` waits for the search that is running, seconds.

    Attributes:
        deadline: the deadline of the search that is running.
        devices: the supervised devices that the detector runs on.
        wait_until_opened: see `Detector.wait_until_opened`.
    """

    def __init__(
        self,
        settings: Settings,
        detector: Detector,
        follower: Follower | None,
        stage: Stage,
        *,
        turns: LandmarkTurns | None = None,
        run_beside: Callable[[Callable[[], None]], object] = run_in_thread,
        stop_s: float = STOP_S,
    ) -> None:
        self._detector, self._follower, self._turns = detector, follower, turns
        self._size, self._stage = settings.detect.size, stage
        self._run_beside, self._stop_s = run_beside, stop_s
        self.deadline = Deadline()
        self._keyframes = Keyframes(settings.keyframe)
        self._tracker = Tracker(settings.track)
        self.devices, self.wait_until_opened = detector.devices, detector.wait_until_opened
        self._search: _Search | None = None
        self._search_is_due = False

    def find(
        self, image: Image, scene_ns: int, *, live: bool, still: bool = False, roll_deg: float | None = None
    ) -> tuple[Track, ...]:
        """Find the faces of a frame, with their ids.

        Args:
            image: `(height, width, 3)` uint8, BGR.
            scene_ns: time of the frame in the scene, nanoseconds; never earlier than the frame before.
            live: whether the next frame comes whether or not this one is done.
            still: whether the frame is a picture of its own, not one of many a second.
            roll_deg: how far the camera is turned clockwise about its line of sight, as seen from behind it, degrees;
                None where it never is.

        Returns:
            One track a face, in order of id, in pixels of `image`.

        Raises:
            BackendError: when a network fails.
        """
        if still or self._follower is None:
            view = derotate(image, self._size, roll_deg)
            followed: dict[int, Face] = {}
            found: tuple[Face, ...] | None = self._detect(view.image)
            begins_period = False
            if still:  # no face in it is known from another picture
                self._tracker.reset()
        else:
            with self._stage("keyframe"):
                view = derotate(image, self._size, roll_deg)
                begins_period = self._keyframes.begins_period(scene_ns)
                expected, reason = self._plan(view.image, scene_ns)
            with self._stage("follow"):
                followed = self._follower.follow(view.image, expected)
            if live and reason != "cut":
                found = self._search_beside(self._follower, view.image, scene_ns, is_due=reason is not None)
            else:
                found = self._search_now(view.image) if reason is not None else None
        with self._stage("track"):
            tracks = self._tracker.update(scene_ns, followed, found, still=still)
            if begins_period:
                self._tracker.forget_speeds()
        if self._turns is not None:
            with self._stage("landmarks"):
                self._turns.keep(self._tracker.ids)
                tracks = self._turns.measure(view.image, tracks, scene_ns)
        return _to_frame(tracks, view, image)

    def _plan(self, image: Image, scene_ns: int) -> tuple[dict[int, Box], SearchReason | None]:
        """Where faces are expected in a picture, and why it should be searched as a whole; None: it should not."""
        expected = self._tracker.predict(scene_ns)
        reason = self._keyframes.search_reason(image, scene_ns, expected.values(), self._tracker.lost_ns)
        if reason == "cut":
            self._tracker.reset()
            expected = {}
        return expected, reason

    def _detect(self, image: Image) -> tuple[Face, ...]:
        with self._stage("detect"), self.deadline.within(SEARCH_S):
            return self._detector.find(image, landmarks=self._turns is None)

    def _search_now(self, image: Image) -> tuple[Face, ...]:
        """Search a picture. A search that is still running is of another scene, but it uses the same networks."""
        if self._search is not None:
            self._search.faces.result()
        self._search, self._search_is_due = None, False
        return self._detect(image)

    def _search_beside(
        self, follower: Follower, image: Image, scene_ns: int, *, is_due: bool
    ) -> tuple[Face, ...] | None:
        """The faces that the search of an earlier picture found, followed into this one.

        Args:
            follower: finds them in this picture.
            image: `(height, width, 3)` uint8, BGR; it is searched next if a search is due and none is running.
            scene_ns: time of the picture in the scene, nanoseconds.
            is_due: whether this picture should be searched.

        Returns:
            None while no search has ended.
        """
        found = None
        if self._search is not None and self._search.faces.done():
            earlier = dict(enumerate(self._search.faces.result()))
            with self._stage("follow"):
                followed = follower.follow(image, {key: face.box for key, face in earlier.items()})
            age_ns = scene_ns - self._search.scene_ns
            found = tuple(replace(face, expression=_aged(earlier[key], age_ns)) for key, face in followed.items())
            self._search = None
        self._search_is_due |= is_due
        if self._search_is_due and self._search is None:
            self._search, self._search_is_due = _Search(self._begin_search(image), scene_ns), False
        return found

    def _begin_search(self, image: Image) -> Future[tuple[Face, ...]]:
        search: Future[tuple[Face, ...]] = Future()

        def run() -> None:
            try:
                search.set_result(self._detect(image))
            except Exception as error:  # raised where the result is used
                search.set_exception(error)

        self._run_beside(run)
        return search

    @property
    def origin(self) -> Origin:
        """What made the last search that has ended, and why it was not what should, if so; from any thread."""
        return self._detector.origin

    @property
    def reason(self) -> str | None:
        """Why the device that should make the next search does not; None when it does; from any thread."""
        return self._detector.reason

    @property
    def ids(self) -> frozenset[int]:
        """The ids of all tracks that have not ended, seen in the last frame or not."""
        return self._tracker.ids

    def reset(self) -> None:
        """End all tracks: the next frame may show another scene, as after a camera was lost."""
        self._tracker.reset()

    def close(self) -> None:
        """Wait for the search that is running, and free the networks.

        Raises:
            BackendError: when that search does not end in time; it keeps the networks.
        """
        if self._search is not None:
            wait([self._search.faces], self._stop_s)
            if not self._search.faces.done():
                raise BackendError(
                    f"expected a search to end within {self._stop_s:g} s, found it stuck; restart the box"
                )
        self._detector.close()
        for network in (self._follower, self._turns):
            if network is not None:
                network.close()


class _Search(NamedTuple):
    """A search beside the frames.

    Attributes:
        faces: what it finds.
        scene_ns: time of its picture in the scene, nanoseconds.
    """

    faces: Future[tuple[Face, ...]]
    scene_ns: int


def _aged(face: Face, age_ns: int) -> Expression | None:
    """What a face showed in an earlier picture, if that is known."""
    return None if face.expression is None else replace(face.expression, age_ns=age_ns)


def _to_frame(tracks: tuple[Track, ...], view: SearchView, frame: Image) -> tuple[Track, ...]:
    """Tracks of the picture that was searched, in pixels of the frame."""
    faces = view.to_frame(tuple(track.face for track in tracks), frame)
    return tuple(Track(track.id, face) for track, face in zip(tracks, faces, strict=True))
