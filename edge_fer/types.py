"""The records that cross a stage boundary, and the public ones that leave the box.

Pixels are of the source frame, origin top left, x to the right, y down. Images are
`(height, width, 3)` uint8 in BGR order (OpenCV's) unless a field says otherwise. All
records are frozen; an image inside a record is never written to after the record is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Label = Literal["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
LABELS: tuple[Label, ...] = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""The seven expressions, in the order of every array, file and message."""

Image = NDArray[np.uint8]

PixelFormat = Literal["bgr24", "rgb24", "bgr0", "rgb0", "gray8", "yuyv422", "uyvy422", "nv12", "yuv420p"]
"""How the bytes of a picture lie in memory; the names are FFmpeg's (`ffmpeg -pix_fmts`)."""


class Point(NamedTuple):
    """A position in pixels."""

    x: float
    y: float


Quadrilateral = tuple[Point, Point, Point, Point]
"""Four corners, one after the other."""


class Box(NamedTuple):
    """A rectangle in pixels: its top left corner and its size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Five points of a face; left and right as seen in the picture (MTCNN's convention)."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point

    @property
    def points(self) -> tuple[Point, Point, Point, Point, Point]:
        """All five, in the order of the fields."""
        return self.left_eye, self.right_eye, self.nose, self.mouth_left, self.mouth_right


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from a source.

    Attributes:
        id: counts the frames that the source delivered, dropped ones included.
        image: `(height, width, 3)` uint8, BGR.
        captured_ns: CLOCK_MONOTONIC at capture, nanoseconds.
        captured_at: wall clock at capture, seconds since the epoch.
        scene_ns: time in the scene, nanoseconds: `captured_ns` of a live source; of a file that is read as fast as
            it goes, the place in it, so that what is seen does not depend on the processor.
        still: whether it is a picture of its own, not one of many a second.
        position_ns: presentation time in the file, nanoseconds; None where the source is no film.
        file: the file that it is from; None where it is from none.
    """

    id: int
    image: Image
    captured_ns: int
    captured_at: float
    scene_ns: int
    still: bool = False
    position_ns: int | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face: box, score 0..1 and landmarks, in pixels of the frame.

    Attributes:
        expression: what the detector says that it shows; None for a detector that does not, and for a face that was
            followed.
        landmarks_lag_ns: how much older than the frame the picture is that the landmarks were measured in, nanoseconds;
            they have moved with the box since then.
    """

    box: Box
    score: float
    landmarks: Landmarks
    expression: Expression | None = field(default=None, compare=False)
    landmarks_lag_ns: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Track:
    """A face with an id that stays the same while the face stays in view."""

    id: int
    face: Face


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """A face cut out with its eyes level, as the classifier was trained to see it.

    Attributes:
        track: the track of the face, with its place in the frame.
        image: uint8, `(size, size)` grey, or `(size, size, 3)` BGR for a classifier that takes colour.
        quality: how good the picture is to read an expression from.
        captured_ns: capture time of the frame, CLOCK_MONOTONIC, nanoseconds.
        scene_ns: time of the frame in the scene, nanoseconds; see `Frame`.
        frame: id of the frame.
        sampled: the same as `image`, before it was enlarged to the network's input; None where it is not known.
    """

    track: Track
    image: Image
    quality: Quality
    captured_ns: int = 0
    scene_ns: int = 0
    frame: int = 0
    sampled: Image | None = None

    @classmethod
    def of_crop(cls, image: Image, sampled: Image | None = None) -> AlignedFace:
        """A face that is known by its crop alone, as data sets have them: its box, landmarks and quality are zeros.

        Args:
            image: aligned, uint8: `(size, size)` grey, or `(size, size, 3)` BGR.
            sampled: the same before it was enlarged, where that is known.
        """
        origin = Point(0.0, 0.0)
        face = Face(Box(0.0, 0.0, 0.0, 0.0), 1.0, Landmarks(origin, origin, origin, origin, origin))
        return cls(Track(0, face), image, Quality(0.0, 0.0, 0.0, 0.0), sampled=sampled)


@dataclass(frozen=True, slots=True)
class Origin:
    """What read a face.

    Attributes:
        model: name of the classifier.
        backend: the device that ran it.
        reason: why it was not the device that should have; null when it was.
    """

    model: str
    backend: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Expression:
    """Calibrated probabilities over `LABELS`, each 0..1, summing to 1.

    Attributes:
        probabilities: see above.
        origin: what they were read by; null where nobody needs to know. Equal answers are equal whoever gave them.
        abstain_below: confidence below which a label of this classifier is a guess, 0..1.
        region: the part of the crop that was read, as parts of its side: the corners from the top left one of what the
            network saw, clockwise; None where it saw the whole crop.
        features: `(d,)` float32, the face as the network describes it; None where the network gives none.
        track: what this answer and those before it say together; None where nobody has put them together.
        age_ns: how much older than its face the picture is that it was read from, nanoseconds.
    """

    probabilities: tuple[float, ...]
    origin: Origin | None = field(default=None, compare=False)
    abstain_below: float = field(default=0.0, compare=False)
    region: Quadrilateral | None = field(default=None, compare=False)
    features: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    track: TrackExpression | None = field(default=None, compare=False)
    age_ns: int = field(default=0, compare=False)

    @property
    def label(self) -> Label:
        """The most probable label; the first of equals."""
        return LABELS[self.probabilities.index(max(self.probabilities))]

    @property
    def confidence(self) -> float:
        """The probability of `label`."""
        return max(self.probabilities)


@dataclass(frozen=True, slots=True)
class TrackExpression:
    """What several pictures of one face say together.

    Attributes:
        label: the most probable one; None where it would be a guess.
        confidence: probability of `label`, or of the label that is withheld, 0..1.
        probabilities: over `LABELS`, each 0..1, summing to 1.
        frames: ids of the frames that the pictures are from, the oldest first.
        weights: how much each of them counts, 0..1, summing to 1.
        span_ns: from the first of them to the last, nanoseconds of the scene.
    """

    label: Label | None
    confidence: float
    probabilities: tuple[float, ...]
    frames: tuple[int, ...]
    weights: tuple[float, ...]
    span_ns: int


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a picture of a face is to read an expression from.

    Attributes:
        eye_distance: between the eyes, pixels of the frame.
        blur: standard deviation of its edges, part of the aligned crop's side.
        yaw: turn of the head to the side, degrees; positive towards the right of the picture.
        pitch: turn of the head up or down, degrees; positive is down.
        roll: tilt of the head, degrees; positive is clockwise in the picture.
    """

    eye_distance: float
    blur: float
    yaw: float
    pitch: float
    roll: float = 0.0


Why = Literal["not_read_yet", "too_small", "turned_away", "blurred", "unsure"]
"""Reasons to abstain, in the order in which they are looked for; later versions may add some."""


@dataclass(frozen=True, slots=True)
class Smoothed:
    """What is shown of a face: its label, steadied over time, or why there is none.

    Attributes:
        label: null when the runtime abstains.
        confidence: probability of `label`, or of the label that is withheld, 0..1.
        probabilities: over `LABELS`, smoothed, each 0..1, summing to 1; null when smoothing is switched off.
        why: the reason for abstaining, else null.
    """

    label: Label | None
    confidence: float
    probabilities: tuple[float, ...] | None
    why: Why | None
