"""Stable ids: which face of this frame is which of the frames before.

Each track moves on with its own speed, so that a face is looked for where it should be by now. Found
faces go to the tracks that they overlap most; what is left over starts a track, which counts once it was
seen again (at once in the first search of a scene, and in a picture of its own). A track that is not
seen for a while ends, and its id is never used again. A while is both a time and a number of frames, so
that a slow processor does not lose every face.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edge_fer.faces.boxes import corners_of, overlap
from edge_fer.settings import TrackSettings
from edge_fer.types import Box, Face, Track

_SPEED_GAIN = 0.5  # of the alpha-beta filter: how much a new sighting says of the speed
_LONGEST_PREDICTION_NS = 200_000_000  # an unseen face keeps its speed for so long, and then stands still
_UNCONFIRMED_FRAMES = 2  # a face that does not count yet is looked for in so many more frames
_LONGEST_GAP_NS = 60 * 10**9  # after a longer one nobody is taken for the same, however few frames it was
_SAME = 0.5  # tracks that overlap more follow the same face


@dataclass(frozen=True, slots=True)
class _Motion:
    """Where a face was seen last, and how it moves.

    Attributes:
        face: as it was seen.
        seen_ns: when, CLOCK_MONOTONIC.
        frame: number of the frame.
        speed: of the box's middle in x and y, pixels a nanosecond; and of the logarithm of its side.
        searched_ns: when a search of the whole frame found it last.
        hits: how often it was seen.
        confirmed: whether it is published.
    """

    face: Face
    seen_ns: int
    frame: int
    speed: tuple[float, float, float]
    searched_ns: int
    hits: int
    confirmed: bool


class Tracker:
    """Assigns ids from frame to frame. Every frame: `expected`, then `update`."""

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._next_id = 1
        self._frame = 0
        self._motions: dict[int, _Motion] = {}
        self._new_scene = True

    def expected(self, scene_ns: int) -> dict[int, Box]:
        """Where each face should be at a time, by id; those that are not published yet or no more seen as well."""
        self._motions = {key: motion for key, motion in self._motions.items() if self._lives(motion, scene_ns)}
        return {key: _predict(motion, scene_ns) for key, motion in self._motions.items()}

    def update(
        self,
        scene_ns: int,
        followed: Mapping[int, Face],
        found: Sequence[Face] | None = None,
        *,
        still: bool = False,
    ) -> tuple[Track, ...]:
        """Take in what was seen in a frame.

        Args:
            scene_ns: time of the frame in the scene; never earlier than the frame before.
            followed: faces that were found where a track expected one, by its id.
            found: faces that were sought in the whole frame; null where only tracks were followed.
            still: whether the frame is a picture of its own, whose faces will not be seen again.

        Returns:
            One track a face of this frame that counts, in order of id.
        """
        expected = self.expected(scene_ns)
        self._frame += 1
        seen = dict(_drop_duplicates({key: face for key, face in followed.items() if key in expected}))
        newcomers = []
        assigned = self._assign(found or (), {**expected, **_boxes(seen)})
        for face, key in zip(found or (), assigned, strict=True):
            if key is None:
                newcomers.append(face)
            else:
                seen[key] = face
        if found is not None:
            self._expire_unverified(seen, assigned, scene_ns)
        for key, face in seen.items():
            self._motions[key] = self._moved(self._motions[key], face, scene_ns)
        for face in newcomers:
            seen[self._begin(face, scene_ns, confirmed=still or self._new_scene)] = face
        self._new_scene &= found is None
        return tuple(Track(key, face) for key, face in sorted(seen.items()) if self._motions[key].confirmed)

    def _expire_unverified(self, seen: dict[int, Face], assigned: Sequence[int | None], scene_ns: int) -> None:
        """End tracks that go on by themselves: what is followed is no face if no search finds it."""
        for key in list(seen):
            if key in assigned:
                self._motions[key] = replace(self._motions[key], searched_ns=scene_ns)
            elif scene_ns - self._motions[key].searched_ns > self._settings.revalidate_ms * 1e6:
                del seen[key], self._motions[key]

    def forget(self) -> None:
        """End all tracks: the picture is another one."""
        self._motions = {}
        self._new_scene = True

    @property
    def ids(self) -> frozenset[int]:
        """Of all tracks that have not ended, seen or not."""
        return frozenset(self._motions)

    @property
    def lost_ns(self) -> int | None:
        """When the face that was lost last was seen last, of those that count; null when all are in view."""
        lost = [motion.seen_ns for motion in self._motions.values() if motion.confirmed and motion.frame < self._frame]
        return max(lost, default=None)

    def _lives(self, motion: _Motion, now_ns: int) -> bool:
        """Whether a track goes on, asked before the frame at that time is counted."""
        unseen, gap_ns = self._frame - motion.frame, now_ns - motion.seen_ns
        if not motion.confirmed:
            return unseen < _UNCONFIRMED_FRAMES
        few = unseen < self._settings.min_missed_frames and gap_ns <= _LONGEST_GAP_NS
        return few or gap_ns <= self._settings.max_age_ms * 1e6

    def _assign(self, faces: Sequence[Face], boxes: Mapping[int, Box]) -> list[int | None]:
        """The track of each face, pairs of greatest overlap first; null for those that are left over."""
        known = list(boxes)
        overlaps = overlap(corners_of([face.box for face in faces]), corners_of([boxes[key] for key in known]))
        keys: list[int | None] = [None] * len(faces)
        while overlaps.size and overlaps.max() >= self._settings.overlap:
            row, column = divmod(int(overlaps.argmax()), overlaps.shape[1])
            keys[row] = known[column]
            overlaps[row, :] = 0
            overlaps[:, column] = 0
        return keys

    def _begin(self, face: Face, scene_ns: int, *, confirmed: bool) -> int:
        key = self._next_id
        self._next_id += 1
        at_once = confirmed or self._settings.min_hits == 1 or face.score >= self._settings.confirm_score
        self._motions[key] = _Motion(face, scene_ns, self._frame, (0.0, 0.0, 0.0), scene_ns, 1, at_once)
        return key

    def _moved(self, motion: _Motion, face: Face, scene_ns: int) -> _Motion:
        """A motion after another sighting: the beta of an alpha-beta filter whose alpha is 1."""
        hits = motion.hits + 1
        elapsed_ns = scene_ns - motion.seen_ns
        speed = motion.speed
        if elapsed_ns > 0:
            here, before = _pose(face.box), _pose(motion.face.box)
            measured = ((new - old) / elapsed_ns for new, old in zip(here, before, strict=True))
            gain = _SPEED_GAIN if motion.hits > 1 else 1.0
            x, y, side = (old + gain * (new - old) for new, old in zip(measured, speed, strict=True))
            speed = (x, y, side)
        return replace(
            motion,
            face=face,
            seen_ns=scene_ns,
            frame=self._frame,
            speed=speed,
            hits=hits,
            confirmed=motion.confirmed or hits >= self._settings.min_hits,
        )


def _pose(box: Box) -> tuple[float, float, float]:
    """Middle, and logarithm of the side."""
    return box.x + box.width / 2, box.y + box.height / 2, math.log(max(math.sqrt(box.width * box.height), 1.0))


def _predict(motion: _Motion, now_ns: int) -> Box:
    """The box moved on with its speed."""
    elapsed = min(now_ns - motion.seen_ns, _LONGEST_PREDICTION_NS)
    box, (x, y, side) = motion.face.box, motion.speed
    growth = math.exp(min(max(side * elapsed, -0.5), 0.5))
    width, height = box.width * growth, box.height * growth
    middle_x, middle_y = box.x + box.width / 2 + x * elapsed, box.y + box.height / 2 + y * elapsed
    return Box(middle_x - width / 2, middle_y - height / 2, width, height)


def _drop_duplicates(followed: Mapping[int, Face]) -> list[tuple[int, Face]]:
    """Of tracks that ended on the same face, the oldest one."""
    kept: list[tuple[int, Face]] = []
    for key, face in sorted(followed.items()):
        others = corners_of([other.box for _, other in kept])
        if not kept or overlap(corners_of([face.box]), others).max() < _SAME:
            kept.append((key, face))
    return kept


def _boxes(faces: Mapping[int, Face]) -> dict[int, Box]:
    return {key: face.box for key, face in faces.items()}
