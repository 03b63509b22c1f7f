"""What was seen in one frame: the record `edge-fer/reading/1`; later versions only add fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_fer.types import Box, Label, Landmarks, Quadrilateral, Why


@dataclass(frozen=True, slots=True)
class Pose:
    """The turn of a head, from five landmarks: rough, since heads differ and an open mouth lowers its corners.

    Attributes:
        yaw: turn to the side, degrees; positive towards the right of the picture.
        pitch: turn up or down, degrees; positive is down.
        roll: tilt, degrees; positive is clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class FrameWeight:
    """How much one picture of a face counts.

    Attributes:
        frame: id of the frame that it is from.
        weight: 0..1; those of all the pictures sum to 1.
    """

    frame: int
    weight: float


@dataclass(frozen=True, slots=True)
class TrackReading:
    """What the last pictures of a face say together.

    Attributes:
        label: the expression, or null where it would be a guess.
        confidence: probability of `label`, or of the label that is withheld, 0..1.
        probabilities: calibrated, one for each of the seven labels.
        frames: how many pictures count.
        span_ms: from the first of them to the last, milliseconds.
        weights: how much each of them counts, the oldest first.
    """

    label: Label | None
    confidence: float
    probabilities: dict[Label, float]
    frames: int
    span_ms: float
    weights: tuple[FrameWeight, ...]


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
        pose: the turn of the head, from the landmarks; null in records that were made without it.
        region: the part of the face that the label was read from, four corners in pixels: from the top left one of
            what the network saw, clockwise; null for a classifier that reads the whole face, for a face that was not
            read yet, and in records that were made without it.
        track: what its last pictures say together; null where that is switched off, for a face that was not read yet
            or whose last pictures are all too poor, and in records that were made without it.
        landmarks_lag_ms: how much older than the frame the picture is that landmarks and pose were measured in,
            milliseconds: 0 but for a detector with labels of its own that searches every frame; the landmarks have
            moved with the box since then. Null in records that were made without it.
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
    pose: Pose | None = None
    region: Quadrilateral | None = None
    track: TrackReading | None = None
    landmarks_lag_ms: float | None = None

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
        backend: the device that ran it; of an ensemble all of them, with `+` between.
        degraded: true while something is replaced or missing; `reason` says what.
        fps: readings a second, over the last seconds.
        dropped: frames overwritten by newer ones since the start.
        faces: one entry a face, in order of track id; empty when there is none.
        source_file: the file that the frame is from, one of the folder's where `source` is a folder; null for cameras,
            streams, and in records that were made without it.
        position_ms: presentation time of the frame in that file, from its beginning; null for pictures that are no
            film, cameras and streams, and in records that were made without it.
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
    source_file: str | None = None
    position_ms: float | None = None
