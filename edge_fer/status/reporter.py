"""From what the stages found and how the box is to the public records: rounded, named, dated."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

from edge_fer.common.text import redact
from edge_fer.expression.face_reading import age_ms, by_label
from edge_fer.expression.sequence import WholeTrack
from edge_fer.process.running_child import abandoned
from edge_fer.publish.sink_group import SinkGroup
from edge_fer.recognizer import RecognizedFaces
from edge_fer.schema import Reading, ServedStatus, State, Status, TrackRecord
from edge_fer.status.monitor import Monitor, clock_synced
from edge_fer.status.run_condition import RunCondition
from edge_fer.status.track_history import SeenTrack
from edge_fer.types import LABELS, Frame


class Reporter:
    """Makes the records of one run.

    Args:
        device: the name of the box.
        condition: how the parts of the run are.
        monitor: rate and stage times.
        sinks: where records go.
        served: what is done for other computers; gives None where there are none.
    """

    def __init__(
        self,
        device: str,
        condition: RunCondition,
        monitor: Monitor,
        sinks: SinkGroup,
        served: Callable[[], ServedStatus | None] = lambda: None,
    ) -> None:
        self._identity = Identity(device, condition.camera.name)
        self._condition, self._monitor, self._sinks, self._served = condition, monitor, sinks, served

    def reading(self, frame: Frame, recognized: RecognizedFaces, now_ns: int) -> Reading:
        """What was recognized in a frame.

        Args:
            frame: the frame.
            recognized: its faces.
            now_ns: when it is published, CLOCK_MONOTONIC, nanoseconds.
        """
        condition = self._condition
        finding = recognized.detector.reason or condition.detector_trouble
        reasons = dict.fromkeys((recognized.origin.reason, finding, condition.trouble_beside_devices))
        return self._identity.reading(
            frame,
            recognized,
            now_ns,
            reason=_safe("; ".join(filter(None, reasons)) or None),
            fps=self._monitor.fps(),
            dropped=condition.camera.dropped,
        )

    def track(self, seen: SeenTrack, whole: WholeTrack) -> TrackRecord:
        """What was seen of a face that has left.

        Args:
            seen: what its readings showed.
            whole: what all its pictures say together.
        """
        first, last, shares = seen.first, seen.last, seen.shares
        return TrackRecord(
            device=self._identity.device,
            run=self._identity.run,
            id=seen.id,
            source=self._identity.source,
            source_file=last.file,
            model=seen.model,
            first_at=iso(first.captured_at),
            first_ns=first.captured_ns,
            first_position_ms=_position_ms(first.position_ns),
            last_at=iso(last.captured_at),
            last_ns=last.captured_ns,
            last_position_ms=_position_ms(last.position_ns),
            clock_synced=clock_synced(),
            duration_ms=round((last.scene_ns - first.scene_ns) / 1e6, 1),
            frames_seen=seen.frames_seen,
            frames_read=whole.frames_read,
            label=whole.label,
            confidence=round(whole.confidence, 4),
            probabilities={} if whole.probabilities is None else by_label(whole.probabilities),
            shares={label: round(shares[label], 4) for label in LABELS},
            withheld=round(shares[None], 4),
            pose=seen.pose,
            best_frame=seen.best_frame,
        )

    def status(self, state: State, message: str) -> Status:
        """How the box is; a run is degraded while something is replaced or missing.

        Args:
            state: what the run does; `running` becomes `degraded` where that is due.
            message: one sentence for a person.
        """
        condition, camera, health = self._condition, self._condition.camera, self._condition.health
        origin, recovery, trouble = condition.origin, condition.recovery, condition.trouble
        detector = condition.detector.origin if condition.detector else None
        return Status(
            device=self._identity.device,
            run=self._identity.run,
            at=iso(time.time()),
            source=self._identity.source,
            model=origin.model,
            backend=origin.backend,
            detector=detector.model if detector else None,
            detector_backend=detector.backend if detector else None,
            state="degraded" if state == "running" and trouble is not None else state,
            fps=round(self._monitor.fps(), 1),
            dropped=camera.dropped,
            restarts=camera.restarts + sum(recovery.values()),
            recovery=recovery,
            stages=self._monitor.stage_times(),
            temperatures=health.vitals.temperatures,
            throttled=health.vitals.throttled,
            label_rate=health.label_rate,
            abandoned=abandoned(),
            stuck=condition.stuck,
            degraded_s=round(self._monitor.degraded_s(degraded=trouble is not None), 1),
            sinks={name: replace(sink, reason=_safe(sink.reason)) for name, sink in self._sinks.conditions.items()},
            served=self._served(),
            message=redact(message),
        )


def _safe(reason: str | None) -> str | None:
    """A reason as it may leave the box."""
    return None if reason is None else redact(reason)


def _position_ms(position_ns: int | None) -> float | None:
    return None if position_ns is None else round(position_ns / 1e6, 3)


class Identity:
    """Who makes the records: the same in all of a run.

    Args:
        device: the name of the box.
        source: the camera as it was named, without credentials.

    Attributes:
        device: see above.
        source: see above.
        run: UUID of this start.
    """

    def __init__(self, device: str, source: str) -> None:
        self.device, self.source, self.run = device, source, str(uuid.uuid4())

    def reading(
        self,
        frame: Frame,
        recognized: RecognizedFaces,
        now_ns: int,
        *,
        reason: str | None,
        fps: float,
        dropped: int = 0,
    ) -> Reading:
        """The record of a frame; see `Reading` for what its fields mean.

        Args:
            frame: the frame.
            recognized: its faces.
            now_ns: when it is published, CLOCK_MONOTONIC, nanoseconds.
            reason: what is replaced or missing, if anything is.
            fps: readings a second.
            dropped: frames overwritten by newer ones since the start.
        """
        height, width = frame.image.shape[:2]
        return Reading(
            device=self.device,
            run=self.run,
            frame=frame.id,
            captured_at=iso(frame.captured_at),
            captured_ns=frame.captured_ns,
            clock_synced=clock_synced(),
            age_ms=age_ms(now_ns, frame.captured_ns),
            source=self.source,
            size=(width, height),
            model=recognized.origin.model,
            backend=recognized.origin.backend,
            degraded=reason is not None,
            reason=reason,
            fps=round(fps, 1),
            dropped=dropped,
            faces=recognized.faces,
            source_file=frame.file,
            position_ms=_position_ms(frame.position_ns),
        )


def iso(seconds: float) -> str:
    """UTC with milliseconds, as ISO 8601 with a Z."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
