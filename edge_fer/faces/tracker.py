"""Stable ids: which face of this frame is which face of the frames before.

A track predicts its box from its own speed, so that a face is expected where it should be by now. Faces that were
found are assigned to the tracks that they overlap most; each face that is left over starts a new track. A new track is
confirmed once its face was found again (at once in the first search of a scene, and in a picture of its own); only
confirmed tracks are published. A track that is missed for some time ends, and its id is never used again. That time is
both a number of milliseconds and a number of frames, so that a slow processor does not lose every face.

Assignment, hits and age are those of SORT (Bewley et al. 2016), with greedy assignment for the Hungarian method and
an alpha-beta filter for the Kalman filter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edge_fer.faces.boxes import corners_of, overlap
from edge_fer.settings import TrackSettings
from edge_fer.types import Box, Face, Track

_SPEED_GAIN = 0.5  # beta of the alpha-beta filter: the weight of a new measurement of the speed
_LONGEST_PREDICTION_NS = 200_000_000  # a face that is missed keeps its speed for this time, and then stands still
_UNCONFIRMED_FRAMES = 2  # an unconfirmed track ends after it was missed in this many frames
_LONGEST_GAP_NS = 60 * 10**9  # a track that is missed for longer ends, however few frames that were
_DUPLICATE_OVERLAP = 0.5  # tracks whose boxes overlap more (IoU) follow the same face


@dataclass(frozen=True, slots=True)
class _TrackState:
    """Where a face was found last, and how it moves.

    Attributes:
        face: the face as it was found last.
        found_ns: scene time of the frame in which it was found last, nanoseconds.
        frame: number of that frame.
        speed: speed of the box's middle in x and y, pixels a nanosecond; and of the logarithm of its side.
        searched_ns: scene time at which a search of the whole frame found it last, nanoseconds.
        hits: in how many frames it was found, since its speed was forgotten.
        confirmed: whether it is published.
    """

    face: Face
    found_ns: int
    frame: int
    speed: tuple[float, float, float]
    searched_ns: int
    hits: int
    confirmed: bool


class Tracker:
    """Assigns ids from frame to frame. Every frame: `predict`, then `update`.

    Args:
        settings: when tracks begin and end.
    """

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._next_id = 1
        self._frame = 0
        self._states: dict[int, _TrackState] = {}
        self._new_scene = True

    def predict(self, scene_ns: int) -> dict[int, Box]:
        """Where each face should be by now, after the tracks that are over have ended.

        Args:
            scene_ns: time of the next frame in the scene, nanoseconds.

        Returns:
            Boxes in pixels, by id, of all tracks: also of those that are unconfirmed or were missed.
        """
        self._states = {key: state for key, state in self._states.items() if self._is_alive(state, scene_ns)}
        return {key: _predict(state, scene_ns) for key, state in self._states.items()}

    def update(
        self,
        scene_ns: int,
        followed: Mapping[int, Face],
        found: Sequence[Face] | None = None,
        *,
        still: bool = False,
    ) -> tuple[Track, ...]:
        """Assign the faces of a frame to tracks.

        Args:
            scene_ns: time of the frame in the scene, nanoseconds; never earlier than the frame before.
            followed: the faces that were found where a track expected one, by the id of the track.
            found: the faces that a search of the whole frame found; None where none was made.
            still: whether the frame is a picture of its own: every face in it is confirmed at once.

        Returns:
            The confirmed tracks whose face is in this frame, in order of id.
        """
        expected = self.predict(scene_ns)
        self._frame += 1
        present = dict(_drop_duplicates({key: face for key, face in followed.items() if key in expected}))
        new_faces = []
        assigned = self._assign(found or (), {**expected, **_boxes(present)})
        for face, key in zip(found or (), assigned, strict=True):
            if key is None:
                new_faces.append(face)
            else:
                present[key] = face
        if found is not None:
            self._expire_unverified(present, assigned, scene_ns)
        for key, face in present.items():
            searched_ns = scene_ns if key in assigned else self._states[key].searched_ns
            self._states[key] = self._moved(self._states[key], face, scene_ns, searched_ns)
        for face in new_faces:
            present[self._begin(face, scene_ns, confirmed=still or self._new_scene)] = face
        self._new_scene &= found is None
        return tuple(Track(key, face) for key, face in sorted(present.items()) if self._states[key].confirmed)

    def _expire_unverified(self, present: dict[int, Face], assigned: Sequence[int | None], scene_ns: int) -> None:
        """End the tracks that are followed although no search has found their face for `revalidate_ms`.

        Args:
            present: the faces of this frame by id; those of tracks that end are removed.
            assigned: the ids that the search of this frame found.
            scene_ns: time of the frame in the scene, nanoseconds.
        """
        for key in list(present):
            if key not in assigned and scene_ns - self._states[key].searched_ns > self._settings.revalidate_ms * 1e6:
                del present[key], self._states[key]

    def forget_speeds(self) -> None:
        """Take every face to stand still until it is found again: then nothing depends on how it came where it is."""
        still = (0.0, 0.0, 0.0)
        self._states = {
            key: replace(state, speed=still, hits=1) if state.confirmed else state
            for key, state in self._states.items()
        }

    def reset(self) -> None:
        """End all tracks: the next frame shows another scene."""
        self._states = {}
        self._new_scene = True

    @property
    def ids(self) -> frozenset[int]:
        """The ids of all tracks that have not ended, found in the last frame or not."""
        return frozenset(self._states)

    @property
    def lost_ns(self) -> int | None:
        """Of the confirmed tracks that were missed in the last frame, when the last one was found; None without any."""
        lost = [state.found_ns for state in self._states.values() if state.confirmed and state.frame < self._frame]
        return max(lost, default=None)

    def _is_alive(self, state: _TrackState, now_ns: int) -> bool:
        """Whether a track goes on at a time, before the frame of that time is counted."""
        missed, gap_ns = self._frame - state.frame, now_ns - state.found_ns
        if not state.confirmed:
            return missed < _UNCONFIRMED_FRAMES
        few = missed < self._settings.min_missed_frames and gap_ns <= _LONGEST_GAP_NS
        return few or gap_ns <= self._settings.max_age_ms * 1e6

    def _assign(self, faces: Sequence[Face], boxes: Mapping[int, Box]) -> list[int | None]:
        """The id of each face's track, greedily by greatest overlap; None for the faces that are left over."""
        known = list(boxes)
        overlaps = overlap(corners_of([face.box for face in faces]), corners_of([boxes[key] for key in known]))
        keys: list[int | None] = [None] * len(faces)
        while overlaps.size:
            row, column = divmod(int(overlaps.argmax()), overlaps.shape[1])
            if overlaps[row, column] < self._settings.overlap:
                break
            keys[row] = known[column]
            overlaps[row, :] = 0
            overlaps[:, column] = 0
        return keys

    def _begin(self, face: Face, scene_ns: int, *, confirmed: bool) -> int:
        key = self._next_id
        self._next_id += 1
        at_once = confirmed or self._settings.min_hits == 1 or face.score >= self._settings.confirm_score
        self._states[key] = _TrackState(face, scene_ns, self._frame, (0.0, 0.0, 0.0), scene_ns, 1, at_once)
        return key

    def _moved(self, state: _TrackState, face: Face, scene_ns: int, searched_ns: int) -> _TrackState:
        """A track after another hit: an alpha-beta filter whose alpha is 1 (Kalata 1984)."""
        hits = state.hits + 1
        elapsed_ns = scene_ns - state.found_ns
        speed = state.speed
        if elapsed_ns > 0:
            here, before = _pose(face.box), _pose(state.face.box)
            measured = ((new - old) / elapsed_ns for new, old in zip(here, before, strict=True))
            gain = _SPEED_GAIN if state.hits > 1 else 1.0
            x, y, side = (old + gain * (new - old) for new, old in zip(measured, speed, strict=True))
            speed = (x, y, side)
        confirmed = state.confirmed or hits >= self._settings.min_hits
        return _TrackState(face, scene_ns, self._frame, speed, searched_ns, hits, confirmed)


def _pose(box: Box) -> tuple[float, float, float]:
    """The middle of a box in x and y, pixels, and the logarithm of its side (square root of its area)."""
    return box.x + box.width / 2, box.y + box.height / 2, math.log(max(math.sqrt(box.width * box.height), 1.0))


def _predict(state: _TrackState, now_ns: int) -> Box:
    """The box of a track at a time, moved with its speed."""
    elapsed = min(now_ns - state.found_ns, _LONGEST_PREDICTION_NS)
    box, (x, y, side) = state.face.box, state.speed
    growth = math.exp(min(max(side * elapsed, -0.5), 0.5))
    width, height = box.width * growth, box.height * growth
    middle_x, middle_y = box.x + box.width / 2 + x * elapsed, box.y + box.height / 2 + y * elapsed
    return Box(middle_x - width / 2, middle_y - height / 2, width, height)


def _drop_duplicates(followed: Mapping[int, Face]) -> list[tuple[int, Face]]:
    """Of tracks that follow the same face, only the oldest one."""
    kept: list[tuple[int, Face]] = []
    for key, face in sorted(followed.items()):
        others = corners_of([other.box for _, other in kept])
        if not kept or overlap(corners_of([face.box]), others).max() < _DUPLICATE_OVERLAP:
            kept.append((key, face))
    return kept


def _boxes(faces: Mapping[int, Face]) -> dict[int, Box]:
    return {key: face.box for key, face in faces.items()}
