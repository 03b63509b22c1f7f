"""What the public record says of one face: where it is, how it is turned, and what it shows; rounded and named."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypedDict

from edge_fer.expression.scheduler import Classification
from edge_fer.schema import FaceReading, FrameWeight, Pose, TrackReading
from edge_fer.types import (
    LABELS,
    AlignedFace,
    Box,
    Label,
    Landmarks,
    Point,
    Quadrilateral,
    Smoothed,
    TrackExpression,
)


def pending_reading(face: AlignedFace) -> FaceReading:
    """A face that was not classified yet."""
    return FaceReading(
        **_place(face), label=None, confidence=0.0, probabilities={}, label_age_ms=None, why="not_read_yet"
    )


def classified_reading(
    face: AlignedFace, last: Classification, shown: Smoothed, now_ns: int, region: Quadrilateral | None = None
) -> FaceReading:
    """A face with its label, which may be of an earlier frame.

    Args:
        face: the face in this frame.
        last: its newest classification.
        shown: the label that is shown, or why there is none.
        now_ns: when it is published, CLOCK_MONOTONIC, nanoseconds.
        region: the part of the face that was read, in pixels of this frame; None: all of it.
    """
    return FaceReading(
        **_place(face),
        label=shown.label,
        confidence=round(shown.confidence, 4),
        probabilities=by_label(last.expression.probabilities),
        label_age_ms=age_ms(now_ns, last.captured_ns),
        why=shown.why,
        region=None if region is None else _rounded(region),
        smoothed=None if shown.probabilities is None else by_label(shown.probabilities),
        track=None if last.expression.track is None else _track_reading(last.expression.track),
    )


def age_ms(now_ns: int, captured_ns: int) -> float:
    """Milliseconds between two moments of one clock, to a tenth."""
    return round((now_ns - captured_ns) / 1e6, 1)


class _Place(TypedDict):
    """Where a face is and how it is turned; see `FaceReading`."""

    id: int
    box: Box
    score: float
    landmarks: Landmarks
    landmarks_lag_ms: float
    pose: Pose


def _place(face: AlignedFace) -> _Place:
    found, quality = face.track.face, face.quality
    return _Place(
        id=face.track.id,
        box=Box(*[round(value, 1) for value in found.box]),
        score=round(found.score, 4),
        landmarks=Landmarks(*[Point(round(x, 1), round(y, 1)) for x, y in found.landmarks.points]),
        landmarks_lag_ms=round(found.landmarks_lag_ns / 1e6, 1),
        pose=Pose(round(quality.yaw, 1), round(quality.pitch, 1), round(quality.roll, 1)),
    )


def _track_reading(track: TrackExpression) -> TrackReading:
    return TrackReading(
        label=track.label,
        confidence=round(track.confidence, 4),
        probabilities=by_label(track.probabilities),
        frames=len(track.frames),
        span_ms=round(track.span_ns / 1e6, 1),
        weights=_frame_weights(track.frames, track.weights),
    )


@lru_cache(maxsize=64)  # faces that are in view together have the same, where all their pictures count alike
def _frame_weights(frames: tuple[int, ...], weights: tuple[float, ...]) -> tuple[FrameWeight, ...]:
    return tuple(FrameWeight(frame, round(weight, 4)) for frame, weight in zip(frames, weights, strict=True))


def _rounded(region: Quadrilateral) -> Quadrilateral:
    first, second, third, fourth = (Point(round(point.x, 1), round(point.y, 1)) for point in region)
    return first, second, third, fourth


def by_label(probabilities: Sequence[float]) -> dict[Label, float]:
    """Probabilities over `LABELS` by their names, rounded."""
    return {label: round(p, 4) for label, p in zip(LABELS, probabilities, strict=True)}
