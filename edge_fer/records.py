"""From what the stages found to what the public records say: rounded, named, dated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

from edge_fer.label import Answer
from edge_fer.types import LABELS, Box, FaceReading, Label, Landmarks, Point, Smoothed, Track


def unread_face(track: Track) -> FaceReading:
    """A face that has no label yet."""
    found = track.face
    return FaceReading(
        id=track.id,
        box=Box(*(round(value, 1) for value in found.box)),
        score=round(found.score, 4),
        landmarks=Landmarks(*(Point(round(point.x, 1), round(point.y, 1)) for point in found.landmarks.points)),
        label=None,
        confidence=0.0,
        probabilities={},
        label_age_ms=None,
        why="not_read_yet",
    )


def labelled_face(track: Track, answer: Answer, shown: Smoothed, now_ns: int) -> FaceReading:
    """A face as it was read, perhaps in an earlier frame.

    Args:
        track: where it is.
        answer: what was read.
        shown: what is made of that.
        now_ns: when it is published, CLOCK_MONOTONIC.
    """
    return replace(
        unread_face(track),
        label=shown.label,
        confidence=round(shown.confidence, 4),
        probabilities=_by_label(answer.expression.probabilities),
        label_age_ms=age_ms(now_ns, answer.captured_ns),
        why=shown.why,
        smoothed=None if shown.probabilities is None else _by_label(shown.probabilities),
    )


def age_ms(now_ns: int, captured_ns: int) -> float:
    """Milliseconds between two moments of one clock, to a tenth."""
    return round((now_ns - captured_ns) / 1e6, 1)


def iso(seconds: float) -> str:
    """UTC with milliseconds, as ISO 8601 with a Z."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _by_label(probabilities: Sequence[float]) -> dict[Label, float]:
    return {label: round(p, 4) for label, p in zip(LABELS, probabilities, strict=True)}
