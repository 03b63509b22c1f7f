"""Faces, readings and statuses made to order."""

from __future__ import annotations

import numpy as np

from edge_fer.schema import FaceReading, Pose, Reading, StageTime, Status, TrackRecord
from edge_fer.types import LABELS, Box, Face, Landmarks, Point


def landmarks_at(x: float, y: float, size: float, angle: float = 0.0) -> Landmarks:
    """Five points of a face: the eyes `size` pixels apart, their middle at (x, y), rotated by `angle` degrees."""
    turn = np.deg2rad(angle)
    cos, sin = np.cos(turn) * size, np.sin(turn) * size
    places = ((-0.5, 0.0), (0.5, 0.0), (0.0, 0.6), (-0.4, 1.1), (0.4, 1.1))
    return Landmarks(*(Point(float(x + u * cos - v * sin), float(y + u * sin + v * cos)) for u, v in places))


def face_at(x: float, y: float, size: float, score: float = 0.99) -> Face:
    """An upright face in a square box with its top left corner at (x, y)."""
    return Face(Box(x, y, size, size), score, landmarks_at(x + size / 2, y + size * 0.4, size * 0.4))


def make_reading(frame: int = 1, faces: tuple[FaceReading, ...] = (), captured_ns: int = 10**9) -> Reading:
    """A reading of a healthy run."""
    return Reading(
        device="drone-7",
        run="3f0c",
        frame=frame,
        captured_at="2026-11-21T20:23:49.123Z",
        captured_ns=captured_ns,
        clock_synced=True,
        age_ms=21.4,
        source="sample",
        size=(640, 360),
        model="se_resnet50",
        backend="cpu",
        degraded=False,
        reason=None,
        fps=29.9,
        dropped=3,
        faces=faces,
    )


def make_face_reading(label: str | None = "happiness", why: str | None = None) -> FaceReading:
    """One face of a reading, 93 % of the probability on happiness."""
    face = face_at(100, 50, 80)
    probabilities = {name: 0.93 if name == "happiness" else 0.07 / 6 for name in LABELS}
    return FaceReading(7, face.box, 0.998, face.landmarks, label, 0.93, probabilities, 21.4, why)


def make_status(state: str = "running", message: str = "reading frames") -> Status:
    """A status of a healthy run."""
    return Status(
        device="drone-7",
        run="3f0c",
        at="2026-11-21T20:23:49.123Z",
        source="sample",
        model="se_resnet50",
        backend="cpu",
        state=state,
        fps=29.9,
        dropped=3,
        restarts=0,
        stages={"detect": StageTime(150, 27.13, 31.9)},
        temperatures={},
        message=message,
    )


def make_track(number: int = 7, label: str | None = "happiness") -> TrackRecord:
    """A face that was in view for 4.2 s, 93 % of the probability on happiness; a tenth of the time without a label."""
    probabilities = {name: 0.93 if name == "happiness" else 0.0117 for name in LABELS}
    shares = {name: {"happiness": 0.65, "surprise": 0.25}.get(name, 0.0) for name in LABELS}
    return TrackRecord(
        device="drone-7",
        run="3f0c",
        id=number,
        source="sample",
        source_file=None,
        model="se_resnet50",
        first_at="2026-11-21T20:23:49.123Z",
        first_ns=10**9,
        first_position_ms=None,
        last_at="2026-11-21T20:23:53.323Z",
        last_ns=5_200_000_000,
        last_position_ms=None,
        clock_synced=True,
        duration_ms=4200.0,
        frames_seen=126,
        frames_read=120,
        label=label,
        confidence=0.93,
        probabilities=probabilities,
        shares=shares,
        withheld=0.1,
        pose=Pose(-3.5, 8.0, 1.2),
        best_frame=42,
    )
