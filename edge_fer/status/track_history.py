"""What was seen of each face that is in view, until it has left: for the record of its track."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from edge_fer.faces.quality import readability
from edge_fer.recognizer import FoundFaces, RecognizedFaces
from edge_fer.schema import FaceReading, Pose
from edge_fer.types import LABELS, AlignedFace, Frame, Label


@dataclass(frozen=True, slots=True)
class Moment:
    """When a face was seen; see `Frame`."""

    captured_ns: int
    captured_at: float
    scene_ns: int
    position_ns: int | None
    file: str | None

    @classmethod
    def of(cls, frame: Frame) -> Moment:
        """The moment of a frame."""
        return cls(frame.captured_ns, frame.captured_at, frame.scene_ns, frame.position_ns, frame.file)


@dataclass(slots=True)
class SeenTrack:
    """One face, as its readings showed it.

    Attributes:
        id: of its track.
        first: when it was seen first.
        last: when it was seen last.
        model: the classifier, as of its last reading.
        frames_seen: readings that show it.
        best_frame: id of the frame that shows it best, the first of equals.
        shown_ns: for how long the readings showed each label, nanoseconds of the scene; None: no label.
        shown: in how many readings.
    """

    id: int
    first: Moment
    last: Moment
    model: str = ""
    frames_seen: int = 0
    best_frame: int = 0
    shown_ns: Counter[Label | None] = field(default_factory=Counter)
    shown: Counter[Label | None] = field(default_factory=Counter)
    _best: float = field(default=-1.0, init=False)
    _yaw: float = field(default=0.0, init=False)
    _pitch: float = field(default=0.0, init=False)
    _roll: complex = field(default=0j, init=False)

    def add(self, moment: Moment, frame_id: int, face: AlignedFace, reading: FaceReading, lasted_ns: int) -> None:
        """Take one reading.

        Args:
            moment: of the frame.
            frame_id: of the frame.
            face: what was found.
            reading: what was published.
            lasted_ns: how long the reading counts, nanoseconds of the scene.
        """
        self.last = moment
        self.frames_seen += 1
        self.shown[reading.label] += 1
        self.shown_ns[reading.label] += lasted_ns
        quality = face.quality
        self._yaw, self._pitch = self._yaw + quality.yaw, self._pitch + quality.pitch
        turn = math.radians(quality.roll)
        self._roll += complex(math.cos(turn), math.sin(turn))  # the mean of 179 and -179 degrees is 180
        if (readable := readability(quality)) > self._best:
            self._best, self.best_frame = readable, frame_id

    @property
    def pose(self) -> Pose:
        """The turn of the head on average, degrees."""
        roll = math.degrees(math.atan2(self._roll.imag, self._roll.real))
        return Pose(round(self._yaw / self.frames_seen, 1), round(self._pitch / self.frames_seen, 1), round(roll, 1))

    @property
    def shares(self) -> dict[Label | None, float]:
        """The part of the time during which each of `LABELS`, and None, was shown; they sum to 1."""
        counts = self.shown_ns if self.shown_ns.total() else self.shown  # all of it may be the first frame of a run
        return {label: counts[label] / counts.total() for label in (*LABELS, None)}


class TrackHistory:
    """Remembers what the readings showed of each face until its track has ended; for one thread.

    A reading of a face counts for the time since the frame before it: so frames that come at irregular times count for
    as long as they stand for, and a face that is missed for a moment has no label in it.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, SeenTrack] = {}
        self._before_ns: int | None = None

    def add(self, found: FoundFaces, recognized: RecognizedFaces) -> None:
        """Take a frame that was published.

        Args:
            found: its faces.
            recognized: what the reading says of them.
        """
        frame, moment = found.frame, Moment.of(found.frame)
        lasted_ns = 0 if self._before_ns is None else max(frame.scene_ns - self._before_ns, 0)
        self._before_ns = frame.scene_ns
        for face, reading in zip(found.faces, recognized.faces, strict=True):
            track = self._tracks.setdefault(face.track.id, SeenTrack(face.track.id, moment, moment))
            track.model = recognized.origin.model
            track.add(moment, frame.id, face, reading, lasted_ns)

    def take_ended(self, alive: Iterable[int] = ()) -> Iterator[SeenTrack]:
        """Take the tracks that have ended, one by one, in order of id.

        Args:
            alive: the ids of those that go on.
        """
        for key in sorted(self._tracks.keys() - set(alive)):
            yield self._tracks.pop(key)
