r"""The way of a frame, from the camera to the sinks.

    camera thread -> [latest frame] -> enhance -> detect -> track -> align -> classify -> publish
                                                                                 \-> monitor

One direction, no way back, by plain calls. The camera thread is `capture.Camera`'s; everything
else happens in the thread that calls `Pipeline.run`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timezone

import cv2

from edge_fer.align import align
from edge_fer.capture import Camera
from edge_fer.classify import open_classifier
from edge_fer.closeable import Closeable
from edge_fer.detect import open_detector
from edge_fer.enhance import Enhancer
from edge_fer.errors import OutputError
from edge_fer.models import ModelStore
from edge_fer.monitor import Monitor, clock_synced, temperatures
from edge_fer.publish import Sink
from edge_fer.publish.recording import Pace, Recording
from edge_fer.settings import Settings
from edge_fer.track import Tracker
from edge_fer.types import (
    LABELS,
    AlignedFace,
    Box,
    Expression,
    FaceReading,
    Frame,
    Image,
    Landmarks,
    Point,
    Reading,
    Record,
    State,
    Status,
)

_PATIENCE_S = 0.1  # a request to stop is noticed after so long at most, while no frame comes
_STATUS_EVERY_S = 1.0  # while no frame comes


class Pipeline(Closeable):
    """One run: opens the networks, the recording and the camera, reads every frame, closes them.

    Args:
        settings: of the run.
        sinks: take every record, in order; closed with the pipeline.
        stopping: ends the run once it is set, from any thread or signal handler.

    Attributes:
        stopping: see above.
        monitor: rate and stage times.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when a device cannot run it.
        OutputError: when the recording cannot be written.
    """

    def __init__(self, settings: Settings, sinks: Sequence[Sink] = (), stopping: threading.Event | None = None) -> None:
        # The stages share out the processor themselves; OpenCV's own threads only get in their way.
        cv2.setNumThreads(1)
        self.stopping = stopping or threading.Event()
        self.monitor = Monitor(settings.monitor.window_s)
        self._settings = settings
        self._device = settings.device_name
        self._run_id = str(uuid.uuid4())
        self._heard_at = 0.0
        with ExitStack() as stack:
            self._sinks = [stack.enter_context(closing(sink)) for sink in sinks]
            store = ModelStore(settings.models)
            self._enhancer = Enhancer(settings.enhance)
            self._detector = stack.enter_context(closing(open_detector(settings.detect, store)))
            self._classifier = stack.enter_context(closing(open_classifier(settings.classify, store)))
            self._tracker = Tracker(settings.track)
            self._camera = Camera(settings.capture)
            if settings.publish.record is not None:
                recording = Recording(settings.publish.record, lambda: Pace(self._camera.fps, self._is_paced()))
                self._sinks.append(stack.enter_context(closing(recording)))
            stack.callback(self._camera.stop)
            self._opened = stack.pop_all()

    def run(self, max_frames: int | None = None, duration_s: float | None = None) -> None:
        """Read frames until the source ends, `stopping` is set, or a limit is reached.

        Args:
            max_frames: end after so many readings.
            duration_s: end after so many seconds.

        Raises:
            SourceError: when the camera is missing at the start and `capture.wait` is off, or a file is broken.
            BackendError: when a device fails.
            OutputError: when a sink cannot be written.
        """
        try:
            self._tell("starting", self._camera.message)
            self._camera.start()
            why = self._loop(max_frames, duration_s)
        except OutputError:
            raise  # whoever should hear of it may be the one that cannot
        except Exception as error:
            self._tell("stopping", str(error))
            raise
        self._tell("stopping", why)

    def read(self, frame: Frame) -> Reading:
        """Everything that is seen in one frame."""
        stage = self.monitor.stage
        with stage("enhance"):
            image = self._enhancer.enhance(frame.image)
        with stage("detect"):
            found = self._detector.detect(image)
        with stage("track"):
            tracks = self._tracker.track(found, frame.captured_ns)
        with stage("align"):
            crop, size = self._classifier.crop, self._classifier.size
            faces = [AlignedFace(track, align(image, track.face.landmarks, crop, size)) for track in tracks]
        with stage("classify"):
            expressions = [self._classifier.classify(face.image) for face in faces]
        self.monitor.tick()
        return self._reading(frame, faces, expressions)

    def close(self) -> None:
        """Stop the camera thread, and close the networks and sinks: all of them, whichever fails."""
        self._opened.close()

    def _loop(self, max_frames: int | None, duration_s: float | None) -> str:
        """Read frames; the reason why it ended."""
        end = time.monotonic() + duration_s if duration_s is not None else float("inf")
        readings = 0
        while not self.stopping.is_set():
            if time.monotonic() >= end:
                return f"{duration_s:g} s are over"
            frame = self._camera.get(_PATIENCE_S)
            self._tell_of_camera(got_frame=frame is not None)
            if frame is not None:
                self._publish(self.read(frame), frame.image)
                readings += 1
                if readings == max_frames:
                    return f"{max_frames} frames were read"
            elif self._camera.state == "ended":
                self._camera.get(0)  # raises what ended it, if anything did
                return self._camera.message
        return "asked to stop"

    def _reading(self, frame: Frame, faces: Sequence[AlignedFace], expressions: Sequence[Expression]) -> Reading:
        age_ms = round((time.monotonic_ns() - frame.captured_ns) / 1e6, 1)
        height, width = frame.image.shape[:2]
        return Reading(
            device=self._device,
            run=self._run_id,
            frame=frame.id,
            captured_at=_iso(frame.captured_at),
            captured_ns=frame.captured_ns,
            clock_synced=clock_synced(),
            age_ms=age_ms,
            source=self._camera.name,
            size=(width, height),
            model=self._classifier.model,
            backend=self._classifier.backend,
            degraded=False,
            reason=None,
            fps=round(self.monitor.fps(), 1),
            dropped=self._camera.dropped,
            faces=tuple(
                _face_reading(face, expression, age_ms) for face, expression in zip(faces, expressions, strict=True)
            ),
        )

    def _tell_of_camera(self, *, got_frame: bool) -> None:
        """Publish every change of the camera's condition, and its condition once a second while no frame comes."""
        for state, message in self._camera.changes():
            if state != "ended":
                self._tell(state, message)
        state, message = self._camera.condition
        if state != "ended" and not got_frame and time.monotonic() - self._heard_at >= _STATUS_EVERY_S:
            self._tell(state, message)

    def _tell(self, state: State, message: str) -> None:
        status = Status(
            device=self._device,
            run=self._run_id,
            at=_iso(time.time()),
            source=self._camera.name,
            model=self._classifier.model,
            backend=self._classifier.backend,
            state=state,
            fps=round(self.monitor.fps(), 1),
            dropped=self._camera.dropped,
            restarts=self._camera.restarts,
            stages=self.monitor.stage_times(),
            temperatures=temperatures(),
            message=message,
        )
        self._publish(status, None)

    def _publish(self, record: Record, image: Image | None) -> None:
        self._heard_at = time.monotonic()
        for sink in self._sinks:
            sink.publish(record, image)

    def _is_paced(self) -> bool:
        return self._camera.live or self._settings.capture.realtime


def _face_reading(face: AlignedFace, expression: Expression, label_age_ms: float) -> FaceReading:
    found = face.track.face
    return FaceReading(
        id=face.track.id,
        box=Box(*(round(value, 1) for value in found.box)),
        score=round(found.score, 4),
        landmarks=Landmarks(*(Point(round(point.x, 1), round(point.y, 1)) for point in found.landmarks.points)),
        label=expression.label,
        confidence=round(expression.confidence, 4),
        probabilities={label: round(p, 4) for label, p in zip(LABELS, expression.probabilities, strict=True)},
        label_age_ms=label_age_ms,
    )


def _iso(seconds: float) -> str:
    """UTC with milliseconds, as ISO 8601 with a Z."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
