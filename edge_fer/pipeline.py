r"""The way of a frame, from the camera to the sinks.

    camera thread -> [latest frame] -> enhance -> find -> align -> [newest crops] -> label -> smooth -> publish
                                                                                                 \-> monitor

One direction, no way back, by plain calls. The camera thread is `capture.Camera`'s, labels are read in
the `label.Labeller`'s threads, one for each device; everything else happens in the thread that calls
`Pipeline.run`. So the faces of a frame are found while those of the frame before are read:

- of a file, every face of every frame is read, and a frame is published when its labels are there;
- a live source is not held up: a frame is published when its labels are there or the next frame is, with
  the newest label of each face and its age.

Each sink has a thread of its own (`publish/outbox.py`): only a file waits for one that is slow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import cv2

from edge_fer.capture.camera import Camera
from edge_fer.common.closeable import Closeable
from edge_fer.common.deadline import Deadline
from edge_fer.errors import OutputError, SourceError
from edge_fer.expression.classifier import Classifier
from edge_fer.expression.failover import Failover, open_reader
from edge_fer.expression.scheduler import Answer, Labeller
from edge_fer.expression.smoother import Smoother
from edge_fer.faces.align import align
from edge_fer.faces.enhance import Enhancer
from edge_fer.faces.finder import Finder
from edge_fer.faces.quality import measure_quality
from edge_fer.inference.model_store import ModelStore
from edge_fer.publish import Sink
from edge_fer.publish.configured import configured_sinks
from edge_fer.publish.outlets import Outlets
from edge_fer.publish.recording import Pace, Recording
from edge_fer.schema import FaceReading, Loop, Reading, Record, State
from edge_fer.settings import Settings
from edge_fer.status.announcer import Announcer
from edge_fer.status.health import Health
from edge_fer.status.monitor import Monitor
from edge_fer.status.reporter import Reporter, labelled_face, unread_face
from edge_fer.types import AlignedFace, Frame, Image, Track

_PATIENCE_S = 0.1  # a request to stop is noticed after so long at most, while no frame comes


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame whose faces were found, on its way to be published."""

    frame: Frame
    faces: tuple[AlignedFace, ...]


class Pipeline(Closeable):
    """One run: opens the networks, the recording and the camera, reads every frame, closes them.

    Args:
        settings: of the run.
        sinks: take every record, in order, beside those that the settings name; closed with the pipeline. One that
            fails ends the run.
        stopping: ends the run once it is set, from any thread or signal handler.
        monitor: counts and times; null: one of its own.
        classifier: reads faces, and is closed with the pipeline; null: the one that the settings name.
        camera: where frames come from, stopped with the pipeline; null: the source that the settings name.
        beat: called whenever the loop turns and nothing in another thread is stuck, ten times a second at least.

    Attributes:
        stopping: see above.
        monitor: rate and stage times.
        has_read: whether there was a reading.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when a device cannot run it.
        ConfigError: when a sink's library is missing.
        OutputError: when the recording or a file cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        sinks: Sequence[Sink] = (),
        stopping: threading.Event | None = None,
        monitor: Monitor | None = None,
        classifier: Classifier | Failover | None = None,
        camera: Camera | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        # The stages share out the processor themselves; OpenCV's own threads only get in their way.
        cv2.setNumThreads(1)
        self.stopping = stopping or threading.Event()
        self.monitor = monitor or Monitor(settings.monitor.window_s)
        self.has_read = False
        self._settings, self._beat = settings, beat
        with ExitStack() as stack:
            self._open_stages(stack, classifier, camera or Camera(settings.capture))
            self._open_sinks(stack, sinks)
            self._open_reports()
            self._open_recording()
            stack.callback(self._camera.stop)  # first of all, so that nothing comes in any more
            self._opened = stack.pop_all()

    def _open_sinks(self, stack: ExitStack, sinks: Sequence[Sink]) -> None:
        # Only a file waits for a sink.
        self._outlets = stack.enter_context(Outlets(lambda: not (self.stopping.is_set() or self._is_live())))
        for sink in sinks:
            self._outlets.add(sink, essential=True)
        for sink in configured_sinks(self._settings):
            self._outlets.add(sink, essential=False)

    def _open_stages(self, stack: ExitStack, classifier: Classifier | Failover | None, camera: Camera) -> None:
        settings, store = self._settings, ModelStore(self._settings.models)
        self._camera = camera
        self._enhancer = Enhancer(settings.enhance)
        self._finder = stack.enter_context(closing(Finder(settings, store, self.monitor.stage)))
        self._classifier: Classifier | Failover = classifier or open_reader(
            settings.classify, store, self.stopping.is_set
        )
        stack.enter_context(self._classifier)
        self._health = stack.enter_context(Health(settings.health, self._is_live))
        self._labeller = Labeller(
            self._classifier,
            self.monitor.stage,
            camera.interrupt,
            self._classifier.parallel,
            lambda: self._health.label_rate,
        )
        stack.callback(self._labeller.stop)
        self._smoother = Smoother(settings.smooth)

    def _open_reports(self) -> None:
        settings, camera = self._settings, self._camera
        self._reporter = Reporter(
            settings.device_name, camera, self._classifier, self.monitor, self._health, self._outlets, self._stuck
        )
        self._announcer = Announcer(
            camera,
            self._classifier,
            self._health,
            self._outlets,
            is_live=self._is_live,
            stuck=self._stuck,
            trouble=self._reporter.trouble,
            keep_going=settings.publish.keep_going,
        )

    def _open_recording(self) -> None:
        path = self._settings.publish.record
        if path is not None:
            recording = Recording(
                path, lambda: Pace(self._camera.fps, self._is_live()), blur=self._settings.privacy.blur_faces
            )
            self._outlets.add(recording, essential=True)

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
            origin = self._classifier.origin
            self._health.start()
            self._tell("starting", f"{self._camera.message}; {origin.model} runs on {origin.backend}")
            self._camera.start()
            why = self._loop(max_frames, duration_s)
        except OutputError:
            raise  # whoever should hear of it may be the one that cannot
        except Exception as error:
            self._tell("stopping", str(error))
            raise
        self._tell("stopping", why)

    def say(self, message: str) -> None:
        """Publish a sentence as a status; for the thread that calls `run`, or before it does."""
        self._tell(self._announcer.unless_waiting("running"), message)

    def read(self, frames: Iterable[Frame]) -> Iterator[Reading]:
        """Everything that is seen in each frame, every face read; the next frame is searched meanwhile."""
        before: _Seen | None = None
        for frame in frames:
            seen = self._see(frame, live=False)
            if before is not None:
                yield self._read(before)
            self._offer(seen)
            before = seen
        if before is not None:
            yield self._read(before)

    def close(self) -> None:
        """Stop the camera thread, and close the networks and sinks: all of them, whichever fails."""
        self._opened.close()

    def _loop(self, max_frames: int | None, duration_s: float | None) -> str:
        """Read frames; the reason why it ended."""
        end = time.monotonic() + duration_s if duration_s is not None else float("inf")
        frames = 0
        waiting: _Seen | None = None  # for its labels
        while (why := self._why_end(frames, max_frames, time.monotonic() >= end, waiting)) is None:
            if self._stuck() is None:
                self._beat()
            frame = self._next_frame(waiting)
            live = self._is_live()
            if waiting is not None and (self._labeller.done or self._camera.state == "ended" or (live and frame)):
                self._publish_reading(waiting, at_once=live and frame is not None)
                waiting = None
            for state, message in self._announcer.due(got_frame=frame is not None):
                self._tell(state, message)
            if frame is not None:
                seen = self._see(frame, live=live)
                if waiting is not None:
                    self._publish_reading(waiting)
                self._offer(seen)
                waiting, frames = seen, frames + 1
                if not seen.faces:
                    self._publish_reading(seen)
                    waiting = None
        if waiting is not None:
            self._publish_reading(waiting, at_once=self._is_live() and self.stopping.is_set())
        for state, message in self._announcer.due(got_frame=True):  # what the source said last
            self._tell(state, message)
        return why

    def _next_frame(self, waiting: _Seen | None) -> Frame | None:
        """The next frame; before an error of the source is raised, what was seen before it is published."""
        try:
            return self._camera.get(_PATIENCE_S)
        except SourceError:
            if waiting is not None:
                self._publish_reading(waiting)
            raise

    def _why_end(self, frames: int, max_frames: int | None, over: bool, waiting: _Seen | None) -> str | None:
        """Why no further frame should be read, if so; raises what ended the camera once nothing waits."""
        if self.stopping.is_set():
            return "asked to stop"
        if over:
            return "the time is over"
        if frames == max_frames:
            return f"{frames} frames were read" if frames != 1 else "one frame was read"
        if self._camera.state == "ended" and waiting is None:
            self._camera.get(0)
            return self._camera.message
        return None

    def _see(self, frame: Frame, *, live: bool) -> _Seen:
        """Find the faces of a frame and cut them out."""
        stage = self.monitor.stage
        with stage("enhance"):
            image = self._enhancer.enhance(frame.image)
        roll_deg = self._roll_deg(frame)
        tracks = self._finder.find(image, frame.scene_ns, live=live, still=frame.still, roll_deg=roll_deg)
        with stage("align"):
            faces = tuple(self._aligned(image, track) for track in tracks)
        return _Seen(frame, faces)

    def _roll_deg(self, frame: Frame) -> float | None:
        """How far the camera was turned when it took a frame; null where it never is."""
        roll = self._settings.detect.roll
        if roll != "mavlink":
            return roll
        attitude = self._outlets.attitude
        return attitude.roll_deg(frame.captured_ns) if attitude else 0.0

    def _aligned(self, image: Image, track: Track) -> AlignedFace:
        model = self._classifier
        crop = align(image, track.face.landmarks, model.crop, model.size, colour=model.colour)
        return AlignedFace(track, crop, measure_quality(crop, track.face))

    def _offer(self, seen: _Seen) -> None:
        """Have the faces of a frame read; what is known of tracks that have ended is forgotten."""
        self._labeller.keep(self._finder.ids)
        self._labeller.offer(seen.faces, seen.frame.captured_ns, seen.frame.scene_ns)

    def _read(self, seen: _Seen) -> Reading:
        """The reading of a frame once all its faces are read."""
        self._labeller.wait()
        return self._reading(seen)

    def _publish_reading(self, seen: _Seen, *, at_once: bool = False) -> None:
        """Publish a frame: once all its faces are read, or at once with what is known of them."""
        self._publish(self._reading(seen) if at_once else self._read(seen), seen.frame.image)

    def _reading(self, seen: _Seen) -> Reading:
        answers = self._labeller.labels()
        self.has_read = True
        self.monitor.tick()
        now_ns = time.monotonic_ns()
        known = [answers.get(face.track.id) for face in seen.faces]
        faces = tuple(self._face(face.track, answer, now_ns) for face, answer in zip(seen.faces, known, strict=True))
        return self._reporter.reading(seen.frame, faces, [answer for answer in known if answer], now_ns)

    def _face(self, track: Track, answer: Answer | None, now_ns: int) -> FaceReading:
        """What is known of a face: its label may be of an earlier frame, and a new face may have none yet."""
        if answer is None:
            return unread_face(track)
        shown = self._smoother.smooth(track.id, answer.expression, answer.scene_ns, answer.quality)
        return labelled_face(track, answer, shown, now_ns)

    def _stuck(self) -> Loop | None:
        """Which thread is in a call that has outlived its deadline; null when all turn."""
        deadlines: dict[Loop, Deadline] = {
            "camera": self._camera.deadline,
            "labels": self._labeller.deadline,
            "search": self._finder.deadline,
        }
        return next((name for name, deadline in deadlines.items() if deadline.missed), None)

    def _tell(self, state: State, message: str) -> None:
        self._publish(self._reporter.status(state, message), None)

    def _publish(self, record: Record, image: Image | None) -> None:
        self._announcer.heard(record)
        self._outlets.publish(record, image)

    def _is_live(self) -> bool:
        return self._camera.live or self._settings.capture.realtime
