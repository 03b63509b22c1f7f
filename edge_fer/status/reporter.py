"""From what the stages found and how the box is to what the public records say: rounded, named, dated."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone

from edge_fer.capture.camera import Camera
from edge_fer.common.deadline import stuck_sentence
from edge_fer.expression.classifier import Classifier
from edge_fer.expression.failover import Failover
from edge_fer.expression.scheduler import Answer
from edge_fer.process.running_child import abandoned
from edge_fer.publish.sink_group import SinkGroup
from edge_fer.schema import FaceReading, Loop, Reading, State, Status
from edge_fer.status.health import Health
from edge_fer.status.monitor import Monitor, clock_synced
from edge_fer.types import LABELS, Box, Frame, Label, Landmarks, Origin, Point, Smoothed, Track


class Reporter:
    """Makes the records of one run.

    Args:
        device: name of the box.
        camera: where frames come from.
        classifier: what reads faces.
        monitor: rate and stage times.
        health: of the box.
        outlets: the sinks.
        stuck: what is in a call that has outlived its deadline, if anything is.
    """

    def __init__(
        self,
        device: str,
        camera: Camera,
        classifier: Classifier | Failover,
        monitor: Monitor,
        health: Health,
        outlets: SinkGroup,
        stuck: Callable[[], Loop | None],
    ) -> None:
        self._device, self._run = device, str(uuid.uuid4())
        self._camera, self._classifier, self._monitor, self._health = camera, classifier, monitor, health
        self._outlets, self._stuck = outlets, stuck

    def reading(self, frame: Frame, faces: tuple[FaceReading, ...], answers: Sequence[Answer], now_ns: int) -> Reading:
        """What was seen in a frame.

        Args:
            frame: the frame.
            faces: in it, in order of their ids.
            answers: those that their labels come from.
            now_ns: when it is published, CLOCK_MONOTONIC.
        """
        origin = self._origin(answers)
        reason = origin.reason or self._beside_devices
        height, width = frame.image.shape[:2]
        return Reading(
            device=self._device,
            run=self._run,
            frame=frame.id,
            captured_at=iso(frame.captured_at),
            captured_ns=frame.captured_ns,
            clock_synced=clock_synced(),
            age_ms=age_ms(now_ns, frame.captured_ns),
            source=self._camera.name,
            size=(width, height),
            model=origin.model,
            backend=origin.backend,
            degraded=reason is not None,
            reason=reason,
            fps=round(self._monitor.fps(), 1),
            dropped=self._camera.dropped,
            faces=faces,
        )

    def status(self, state: State, message: str) -> Status:
        """How the box is; what should be running is degraded while something is replaced or missing."""
        origin, recovery, health = self._classifier.origin, self._classifier.recovery, self._health
        reason = self.trouble()
        return Status(
            device=self._device,
            run=self._run,
            at=iso(time.time()),
            source=self._camera.name,
            model=origin.model,
            backend=origin.backend,
            state="degraded" if state == "running" and reason is not None else state,
            fps=round(self._monitor.fps(), 1),
            dropped=self._camera.dropped,
            restarts=self._camera.restarts + sum(recovery.values()),
            recovery=recovery,
            stages=self._monitor.stage_times(),
            temperatures=health.vitals.temperatures,
            throttled=health.vitals.throttled,
            label_rate=health.label_rate,
            abandoned=abandoned(),
            stuck=self._stuck(),
            degraded_s=round(self._monitor.degraded_s(degraded=reason is not None), 1),
            sinks=self._outlets.conditions,
            message=message,
        )

    def trouble(self) -> str | None:
        """What is replaced or missing now; null: nothing."""
        return self._classifier.origin.reason or self._beside_devices

    @property
    def _beside_devices(self) -> str | None:
        """What is wrong besides the devices that read faces."""
        stuck = self._stuck()
        return (stuck_sentence(stuck) if stuck else None) or self._health.reason or self._camera.blind

    def _origin(self, answers: Sequence[Answer]) -> Origin:
        """What read the faces of a frame: of several, the first that had to stand in; without any, what would now."""
        now = self._classifier.origin
        origins = [answer.expression.origin or now for answer in answers]
        stand_in = next((origin for origin in origins if origin.reason is not None), None)
        return stand_in or replace(origins[0] if origins else now, reason=now.reason)


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
