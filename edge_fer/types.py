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
    """

    id: int
    image: Image
    captured_ns: int
    captured_at: float
    scene_ns: int
    still: bool = False


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face: box, score 0..1 and landmarks, in pixels of the frame."""

    box: Box
    score: float
    landmarks: Landmarks


@dataclass(frozen=True, slots=True)
class Track:
    """A face with an id that stays the same while the face stays in view."""

    id: int
    face: Face


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """A face cut out with its eyes level, as the classifier was trained to see it.

    Attributes:
        track: whose face it is.
        image: `(size, size)` uint8, grey.
        quality: of the picture.
    """

    track: Track
    image: Image
    quality: Quality


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
    """

    probabilities: tuple[float, ...]
    origin: Origin | None = field(default=None, compare=False)
    abstain_below: float = field(default=0.0, compare=False)

    @property
    def label(self) -> Label:
        """The most probable label; the first of equals."""
        return LABELS[self.probabilities.index(max(self.probabilities))]

    @property
    def confidence(self) -> float:
        """The probability of `label`."""
        return max(self.probabilities)


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a picture of a face is to read an expression from.

    Attributes:
        eye_distance: between the eyes, pixels of the frame.
        blur: standard deviation of its edges, part of the aligned crop's side.
        yaw: turn of the head to the side, degrees; positive towards the right of the picture.
        pitch: turn of the head up or down, degrees; positive is down.
    """

    eye_distance: float
    blur: float
    yaw: float
    pitch: float


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


@dataclass(frozen=True, slots=True)
class FaceReading:
    """One face of a reading. See `Reading`.

    Attributes:
        id: track id, stable while the face stays in view.
        box: x, y, width, height in pixels.
        score: the detector's, 0..1.
        landmarks: five named points in pixels.
        label: the expression, or null when the runtime abstains (`why` says so).
        confidence: probability of `label`, or of the label that is withheld, 0..1: the smoothed one where there is
            one; 0 for a face that was not read yet.
        probabilities: calibrated and unsmoothed, one for each of the seven labels; empty for a face that was not
            read yet.
        label_age_ms: age of the picture that the label was read from; null for a face that was not read yet.
        why: the reason for abstaining, one of `Why`, else null.
        smoothed: probabilities steadied over time, one for each of the seven labels; null when smoothing is off,
            and for a face that was not read yet.
    """

    id: int
    box: Box
    score: float
    landmarks: Landmarks
    label: Label | None
    confidence: float
    probabilities: dict[Label, float]
    label_age_ms: float | None
    why: Why | None = None
    smoothed: dict[Label, float] | None = None

    @property
    def summary(self) -> str:
        """For a person: the label and its confidence, or why there is none."""
        return f"{self.label} {self.confidence:.0%}" if self.label else str(self.why).replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was seen in one frame: the record `edge-fer/reading/1`.

    Attributes:
        schema: name and version of this record; later versions only add fields.
        device: name of the box.
        run: UUID of this start; (device, run, frame) identifies a reading.
        frame: id of the frame; ids of dropped frames are missing.
        captured_at: capture time, UTC, ISO 8601.
        captured_ns: capture time, CLOCK_MONOTONIC, nanoseconds.
        clock_synced: whether the wall clock is set from a network, GPS or another reference.
        age_ms: from capture to publishing.
        source: the camera, as it was named.
        size: width and height of the frame in pixels.
        model: name of the classifier.
        backend: the device that ran it.
        degraded: true while something is replaced or missing; `reason` says what.
        fps: readings a second, over the last seconds.
        dropped: frames overwritten by newer ones since the start.
        faces: one entry a face, in order of track id; empty when there is none.
    """

    schema: Literal["edge-fer/reading/1"] = "edge-fer/reading/1"
    device: str
    run: str
    frame: int
    captured_at: str
    captured_ns: int
    clock_synced: bool
    age_ms: float
    source: str
    size: tuple[int, int]
    model: str
    backend: str
    degraded: bool
    reason: str | None
    fps: float
    dropped: int
    faces: tuple[FaceReading, ...]


@dataclass(frozen=True, slots=True)
class StageTime:
    """Latency of one stage over the last seconds.

    Attributes:
        count: how many passes were timed.
        p50_ms: half of them took no longer, milliseconds.
        p95_ms: 95 % of them took no longer, milliseconds.
        p99_ms: 99 % of them took no longer, milliseconds; null in records that were made without it.
        first_ms: the first one since the start, milliseconds, which is in no percentile unless it is the only one: cold
            caches and a device that wakes up make it longer; null in records that were made without it.
    """

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float | None = None
    first_ms: float | None = None


SinkState = Literal["ok", "waiting", "failed"]
"""Of a sink: it takes what it is given; its link is down and tried again; somebody has to mend something."""


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """How a sink is.

    Attributes:
        state: one of `SinkState`.
        sent: records that it has taken since the start: written, or acknowledged by whom they were sent to.
        dropped: records that were lost to it: too many, too old, or refused.
        waiting: records that are still to be sent.
        reason: why it is not `ok`; null also where it waits because it was not tried yet.
    """

    state: SinkState = "ok"
    sent: int = 0
    dropped: int = 0
    waiting: int = 0
    reason: str | None = None


Loop = Literal["camera", "labels", "search"]
"""What turns beside the main loop: taking pictures, reading faces, and looking for them."""

State = Literal["starting", "running", "waiting_for_camera", "degraded", "stopping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the box is: the record `edge-fer/status/1`.

    Published on every change of state, once a second while no frame comes, and every two seconds while a live source
    is read.

    Attributes:
        at: when, UTC, ISO 8601.
        state: one of `State`.
        restarts: how often the source or a worker was started again.
        stages: latency by stage, in the order of the frame's way; empty before the first frame.
        temperatures: degrees Celsius by sensor; empty where there is none.
        throttled: what a Raspberry Pi reports of its supply and clock: `under_voltage`, `capped`, `throttled`,
            `soft_limit`, each also with `_since_boot`; empty where all is well or nothing is known.
        label_rate: share of a camera's labels that are read: 1, or 0.5 or 0.25 while the box is too hot.
        recovery: how often each rung of the Edge TPU's recovery was tried: `restart`, `usb_reset`, `reauthorise`,
            `port_power`, `parked`; empty while it never failed.
        abandoned: child processes that not even SIGKILL ends, stuck in a driver: a sign to restart the box.
        stuck: what is in a call that has outlived its deadline and cannot be ended: `camera`, `labels` or `search`; the
            service's watchdog starts the program anew. Null when all turn.
        degraded_s: how long something was replaced or missing since the start, or fewer labels were read, seconds.
        sinks: where records go, by name: how each is, and what was sent, dropped and is waiting.
        message: one sentence for a person.
        (the others are those of `Reading`)
    """

    schema: Literal["edge-fer/status/1"] = "edge-fer/status/1"
    device: str
    run: str
    at: str
    source: str
    model: str
    backend: str
    state: State
    fps: float
    dropped: int
    restarts: int
    stages: dict[str, StageTime]
    temperatures: dict[str, float]
    throttled: tuple[str, ...] = ()
    label_rate: float = 1.0
    recovery: dict[str, int] = field(default_factory=dict)
    abandoned: int = 0
    stuck: Loop | None = None
    degraded_s: float = 0.0
    sinks: dict[str, SinkStatus] = field(default_factory=dict)
    message: str


Record = Reading | Status
