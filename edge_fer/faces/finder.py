r"""The faces of each frame: searched for in key frames, followed in between.

    key frame?  --yes--> detect (the whole picture) --\
         \------------> follow (where tracks expect) --> track

All of it happens on a copy with the long side `detect.size`, made once a frame, and turned back where the camera
banks; what was found is told in pixels of the frame. A live source is not held up by a search: that goes on beside it,
on the key frame, and what it finds is followed into the frame that is current by then. Only the first frame of a scene
waits for its search: nothing is known of it, and to say that it has no face would be untrue.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, ExitStack, closing

from edge_fer.common.closeable import Closeable
from edge_fer.common.deadline import Deadline
from edge_fer.errors import BackendError
from edge_fer.faces.derotate import View, view
from edge_fer.faces.detectors.mtcnn.detector import open_detector
from edge_fer.faces.detectors.mtcnn.follower import open_follower
from edge_fer.faces.keyframes import Keyframes
from edge_fer.faces.tracker import Tracker
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import Settings
from edge_fer.types import Face, Image, Track

SEARCH_S = 60.0
"""A search that takes longer is stuck; on the slowest board that is known one takes seconds."""

STOP_S = 5.0
"""`Finder.close` waits so long for the search under way, and raises when it has not ended."""


class Finder(Closeable):
    """Finds the faces of frame after frame.

    Args:
        settings: of the run.
        store: has the detector's networks.
        stage: times each stage; see `Monitor.stage`.

    Attributes:
        deadline: of the search under way.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when the CPU cannot run one.
    """

    def __init__(
        self, settings: Settings, store: ModelStore, stage: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        self._every_frame = not settings.keyframe.enabled
        self._size = settings.detect.size
        self._stage = stage
        self.deadline = Deadline()
        self._keyframes = Keyframes(settings.keyframe)
        self._tracker = Tracker(settings.track)
        self._search: Future[tuple[Face, ...]] | None = None
        self._wanted = False
        with ExitStack() as stack:
            self._detector = stack.enter_context(closing(open_detector(settings.detect, store)))
            self._follower = stack.enter_context(closing(open_follower(settings.detect, settings.track, store)))
            self._opened = stack.pop_all()

    def find(
        self, image: Image, scene_ns: int, *, live: bool, still: bool = False, roll_deg: float | None = None
    ) -> tuple[Track, ...]:
        """The faces of a frame, with their ids.

        Args:
            image: `(height, width, 3)` uint8, BGR.
            scene_ns: time of the frame in the scene; never earlier than the frame before.
            live: whether the next frame comes whether or not this one is done.
            still: whether the frame is a picture of its own, not one of many a second.
            roll_deg: how far the camera is turned clockwise about its line of sight, as seen from behind it; null
                where it never is.

        Raises:
            BackendError: when a network fails.
        """
        if self._every_frame or still:
            seen = view(image, self._size, roll_deg)
            everywhere = self._detect(seen.image)
            if still:  # nobody in it is known from another picture
                self._tracker.forget()
            with self._stage("track"):
                return _in_frame(self._tracker.update(scene_ns, {}, everywhere, still=still), seen, image)
        expected = self._tracker.expected(scene_ns)
        with self._stage("keyframe"):
            seen = view(image, self._size, roll_deg)
            small = seen.image
            why = self._keyframes.why(small, scene_ns, expected.values(), self._tracker.lost_ns)
        if why == "cut":
            self._tracker.forget()
            expected = {}
        with self._stage("follow"):
            followed = self._follower.follow(small, expected)
        found = None
        if live and why != "cut":
            found = self._searched_beside(small, wanted=why is not None)
        elif why is not None:
            found = self._searched_now(small)
        with self._stage("track"):
            return _in_frame(self._tracker.update(scene_ns, followed, found), seen, image)

    def _detect(self, image: Image) -> tuple[Face, ...]:
        with self._stage("detect"), self.deadline.within(SEARCH_S):
            return self._detector.detect(image)

    def _searched_now(self, image: Image) -> tuple[Face, ...]:
        """The faces of this frame; those of a search under way are of another scene, but it has the networks."""
        if self._search is not None:
            self._search.result()
        self._search, self._wanted = None, False
        return self._detect(image)

    def _searched_beside(self, image: Image, *, wanted: bool) -> tuple[Face, ...] | None:
        """What a search of an earlier frame found, as it looks in this one; null while there is none."""
        found = None
        if self._search is not None and self._search.done():
            earlier = dict(enumerate(face.box for face in self._search.result()))
            with self._stage("follow"):
                found = tuple(self._follower.follow(image, earlier).values())
            self._search = None
        self._wanted |= wanted
        if self._wanted and self._search is None:
            self._search, self._wanted = self._begin_search(image), False
        return found

    def _begin_search(self, image: Image) -> Future[tuple[Face, ...]]:
        search: Future[tuple[Face, ...]] = Future()

        def run() -> None:
            try:
                search.set_result(self._detect(image))
            except Exception as error:  # raised where the result is taken
                search.set_exception(error)

        threading.Thread(target=run, name="search", daemon=True).start()
        return search

    @property
    def ids(self) -> frozenset[int]:
        """Of all tracks that have not ended, seen in the last frame or not."""
        return self._tracker.ids

    def close(self) -> None:
        """Wait for the search under way, and free the networks.

        Raises:
            BackendError: when that search does not end in time; it keeps the networks.
        """
        if self._search is not None:
            wait([self._search], STOP_S)
            if not self._search.done():
                raise BackendError(f"expected a search to end within {STOP_S:g} s, found it stuck; restart the box")
        self._opened.close()


def _in_frame(tracks: tuple[Track, ...], seen: View, image: Image) -> tuple[Track, ...]:
    """Tracks of what was looked at, in pixels of the frame."""
    faces = seen.in_frame(tuple(track.face for track in tracks), image)
    return tuple(Track(track.id, face) for track, face in zip(tracks, faces, strict=True))
