"""What was seen of one face while it was in view: the record `edge-fer/track/1`; later versions only add fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_fer.schema.reading import Pose
from edge_fer.types import Label


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """What was seen of one face while it was in view: the record `edge-fer/track/1`.

    Published once for each track id that was in a reading, when the face has left, the scene has changed, the camera is
    lost or the run ends. There is nothing in it by which a person could be recognised.

    Attributes:
        id: of the track, as in the readings; (device, run, id) identifies it.
        source_file: the file that its last frame is from; null for cameras and streams.
        model: name of the classifier, as of its last reading.
        first_at: capture time of the first frame that shows it, UTC, ISO 8601.
        first_ns: the same, CLOCK_MONOTONIC, nanoseconds.
        first_position_ms: presentation time of that frame in its file; null where readings have none.
        last_at: capture time of the last frame that shows it, UTC, ISO 8601.
        last_ns: the same, CLOCK_MONOTONIC, nanoseconds.
        last_position_ms: presentation time of that frame in its file; null where readings have none.
        clock_synced: whether the wall clock is set from a network, GPS or another reference.
        duration_ms: from the first of these frames to the last, in the time of the scene.
        frames_seen: readings that show it.
        frames_read: how many pictures of it were classified.
        label: the expression of the whole track; null where it would be a guess.
        confidence: probability of `label`, or of the label that is withheld, 0..1; 0 where no picture was good enough.
        probabilities: of the whole track, one for each of the seven labels; empty where no picture was good enough.
        shares: part of the time during which the readings showed each of the seven labels, 0..1.
        withheld: part of the time during which they showed none; it sums to 1 with the `shares`.
        pose: the turn of the head, on average.
        best_frame: id of the frame that shows the face best: large, sharp, and from the front.
        (the others are those of `Reading`)
    """

    schema: Literal["edge-fer/track/1"] = "edge-fer/track/1"
    device: str
    run: str
    id: int
    source: str
    source_file: str | None
    model: str
    first_at: str
    first_ns: int
    first_position_ms: float | None
    last_at: str
    last_ns: int
    last_position_ms: float | None
    clock_synced: bool
    duration_ms: float
    frames_seen: int
    frames_read: int
    label: Label | None
    confidence: float
    probabilities: dict[Label, float]
    shares: dict[Label, float]
    withheld: float
    pose: Pose
    best_frame: int

    @property
    def summary(self) -> str:
        """For a person: the label and its confidence, or that there is none."""
        return f"{self.label} {self.confidence:.0%}" if self.label else "no label"
