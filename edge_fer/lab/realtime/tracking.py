"""What following faces between key frames costs: the finder against a search of every frame, and the truth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from edge_fer.faces.detectors import open_detector
from edge_fer.faces.finder import open_finder
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.realtime.ground_truth import match
from edge_fer.settings import Settings
from edge_fer.status.monitor import Monitor
from edge_fer.synthetic.portraits import Scene
from edge_fer.synthetic.scenes import FPS
from edge_fer.types import Box, Image, Track

_SAME_FACE = 0.4  # IoU from which two boxes are of the same face
_FOUNDED = 0.5  # share of its frames in which a track lies on a face, for it not to be a false one


@dataclass(frozen=True, slots=True)
class Followed:
    """The finder beside the detector on every frame.

    Attributes:
        frames: how many frames were compared.
        expected: faces that the detector found, of all frames.
        found: how many of these the finder showed in the same frame, too: from a face's first frame on.
        shown: faces that the finder showed, of all frames.
        unfounded: how many of these lie on no face that the detector found in that frame.
        tracks: how many ids the finder gave out.
        false_tracks: how many of these lie on no face in most of their frames.
        searched: frames that were searched as a whole.
        detector_s: time of the detector on every frame, seconds.
        finder_s: time of the finder, seconds.
    """

    frames: int
    expected: int
    found: int
    shown: int
    unfounded: int
    tracks: int
    false_tracks: int
    searched: int
    detector_s: float
    finder_s: float

    @property
    def recall(self) -> float:
        """Share of the detector's faces that the finder shows, 0..1."""
        return self.found / self.expected if self.expected else 1.0


@dataclass(frozen=True, slots=True)
class Identities:
    """Ids against the truth.

    Attributes:
        entries: how many faces came into view.
        visible: faces that were wholly in view, of all frames.
        found: how many of these were shown.
        switches: how often a face was shown under another id than before.
        false: faces that were shown where there is none, visible or not, of all frames.
        shown: faces that were shown, of all frames.
    """

    entries: int
    visible: int
    found: int
    switches: int
    false: int
    shown: int


def follow(settings: Settings, images: Sequence[Image], fps: float) -> Followed:
    """Hold the finder, of whatever kind of detector, against MTCNN in float32, which is run on every frame.

    Args:
        settings: the run's settings.
        images: frames in order, each `(height, width, 3)` uint8, BGR.
        fps: frames a second.
    """
    store, monitor = ModelStore(settings.models), Monitor(float("inf"))
    own_score = settings.detect.score if settings.detect.kind == "mtcnn" else None
    exact = settings.detect.model_copy(update={"kind": "mtcnn", "precision": "float32", "score": own_score})
    with closing(open_detector(exact, store)) as detector:
        started = time.perf_counter()
        expected = [[face.box for face in detector.find(image)] for image in images]
        detector_s = time.perf_counter() - started
    started = time.perf_counter()
    shown = _tracks(settings, store, monitor, images, fps)
    finder_s = time.perf_counter() - started
    pairs = [match(_boxes(tracks), boxes, _SAME_FACE) for tracks, boxes in zip(shown, expected, strict=True)]
    frames_of = Counter(track.id for tracks in shown for track in tracks)
    founded = Counter(tracks[place].id for tracks, found in zip(shown, pairs, strict=True) for place in found)
    searches = monitor.stage_times().get("detect")
    return Followed(
        frames=len(images),
        expected=sum(map(len, expected)),
        found=sum(map(len, pairs)),
        shown=frames_of.total(),
        unfounded=frames_of.total() - founded.total(),
        tracks=len(frames_of),
        false_tracks=sum(founded[key] < _FOUNDED * count for key, count in frames_of.items()),
        searched=searches.count if searches else 0,
        detector_s=detector_s,
        finder_s=finder_s,
    )


def identify(settings: Settings, scene: Scene) -> Identities:
    """Hold the finder's ids against the truth of a synthetic scene."""
    images = (scene.render(index) for index in range(scene.frames))
    shown = _tracks(settings, ModelStore(settings.models), Monitor(1.0), images, FPS)
    known: dict[int, int] = {}
    visible = found = switches = false = 0
    for index, tracks in enumerate(shown):
        truth = scene.truth(index)
        pairs = match(_boxes(tracks), [face.box for face in truth], _SAME_FACE)
        for place, number in pairs.items():
            face, key = truth[number], tracks[place].id
            switches += known.get(face.entry, key) != key
            known[face.entry] = key
            found += face.visible
        visible += sum(face.visible for face in truth)
        false += len(tracks) - len(pairs)
    return Identities(len(scene.cast), visible, found, switches, false, sum(map(len, shown)))


def _tracks(
    settings: Settings, store: ModelStore, monitor: Monitor, images: Iterable[Image], fps: float
) -> list[tuple[Track, ...]]:
    """What the finder shows in each frame, read as a file is."""
    with closing(open_finder(settings, store, monitor.stage)) as finder:
        return [finder.find(image, round(index * 1e9 / fps), live=False) for index, image in enumerate(images)]


def _boxes(tracks: Sequence[Track]) -> list[Box]:
    return [track.face.box for track in tracks]
