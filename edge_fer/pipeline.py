r"""The loop around a frame's way: from the camera through the recognizer to the sinks.

    camera thread -> [latest frame] -> recognizer (find ... [newest crops] ... classify) -> [queues] -> sinks
                                                                                        \-> monitor

One direction, no way back, by plain calls. The camera thread is `capture.camera.Camera`'s, faces are classified in
the threads of `expression.scheduler`; everything else happens in the thread that calls `Pipeline.run`. So the faces
of a frame are found while those of the frame before are classified:

- of a file, every face of every frame is classified, and a frame is published when its labels are there;
- a live source is not held up: a frame is published when its labels are there or the next frame is, with
  the newest label of each face and its age.

The loop waits for two things at once, the next frame and the labels of the last one: both set the same `wake_up`.
Each sink has a thread of its own: only a file waits for one that is slow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from edge_fer.capture.camera import Camera, Opener
from edge_fer.capture.sources.open_source import open_source
from edge_fer.common.text import counted
from edge_fer.errors import OutputError, SourceError
from edge_fer.expression import ExpressionModel
from edge_fer.faces.detectors import Detector
from edge_fer.publish import Sink
from edge_fer.publish.configured import configured_sinks
from edge_fer.publish.sink_group import SinkGroup
from edge_fer.recognizer import FoundFaces, Recognizer
from edge_fer.settings import Settings
from edge_fer.status.health import Health
from edge_fer.status.monitor import Monitor
from edge_fer.status.reported_run import ReportedRun
from edge_fer.status.reporter import Reporter
from edge_fer.status.run_condition import RunCondition
from edge_fer.status.scheduler import StatusScheduler
from edge_fer.status.track_history import TrackHistory
from edge_fer.types import Frame

_PATIENCE_S = 0.1  # a request to stop is noticed after so long at most, while no frame comes


class Pipeline(ReportedRun):
    """One run: opens the networks, the recording and the camera, reads every frame, closes them.

    Args:
        settings: the run's settings.
        sinks: take every record, in order, beside those that the settings name; closed with the pipeline. One that
            fails ends the run, unless that shall go on without sinks.
        stopping: ends the run once it is set, from any thread or signal handler.
        monitor: counts and times; None: a new one.
        model: reads expressions, and is closed with the pipeline; None: the one that the settings name.
        opener: opens the source of frames; see `open_source`.
        beat: called whenever the loop turns and nothing in another thread is stuck, ten times a second at least.
        detector: finds faces, and is closed with the pipeline; None: the one that the settings name.

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
        model: ExpressionModel | None = None,
        opener: Opener = open_source,
        beat: Callable[[], None] = lambda: None,
        detector: Detector | None = None,
    ) -> None:
        self.stopping = stopping or threading.Event()
        self.monitor = monitor or Monitor(settings.monitor.window_s)
        self.has_read = False
        self._beat, self._wake_up = beat, threading.Event()
        with ExitStack() as stack:
            self._camera = camera = Camera(settings.capture, opener=opener, wake_up=self._wake_up)
            sheds = settings.detect.labels == "classifier"  # the detector's own labels cost nothing
            self._health = health = stack.enter_context(Health(settings.health, lambda: sheds and camera.drops_frames))
            self._recognizer = stack.enter_context(
                Recognizer(
                    settings,
                    self.monitor.stage,
                    model,
                    wake_up=self._wake_up,
                    duty_cycle=lambda: health.label_rate,
                    cancelled=self.stopping.is_set,
                    detector=detector,
                )
            )
            self._sinks = stack.enter_context(_open_sinks(settings, sinks, self.stopping, camera))
            stack.callback(camera.stop)  # first of all, so that nothing comes in any more
            self._opened = stack.pop_all()
        deadlines = {"camera": camera.deadline, **self._recognizer.deadlines}
        self._condition = RunCondition(camera, self._recognizer.model, health, deadlines, self._recognizer.detector)
        self._reporter = Reporter(settings.device_name, self._condition, self.monitor, self._sinks)
        self._statuses = StatusScheduler(self._condition, self._sinks, keep_going=settings.publish.keep_going)
        self._tracks = TrackHistory()

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
            origin, detector = self._condition.origin, self._recognizer.detector.origin
            searcher = f"; {detector.model} searches on {detector.backend}" if detector.model != "mtcnn" else ""
            self._health.start()
            self._tell("starting", f"{self._camera.message}{searcher}; {origin.model} runs on {origin.backend}")
            self._camera.start()
            why = self._loop(max_frames, duration_s)
        except OutputError:  # the sink that should carry the news may be the one that failed
            with suppress(OutputError):  # the first one is raised
                self._publish_tracks()
            raise
        except Exception as error:
            self._publish_tracks()
            self._tell("stopping", str(error))
            raise
        self._publish_tracks()
        self._tell("stopping", why)

    def say(self, message: str) -> None:
        """Publish a sentence as a status; for the thread that calls `run`, or before it does."""
        self._tell(self._statuses.unless_waiting("running"), message)

    def _loop(self, max_frames: int | None, duration_s: float | None) -> str:
        """Read frames; the reason why it ended."""
        end = time.monotonic() + duration_s if duration_s is not None else float("inf")
        frames = 0
        waiting: FoundFaces | None = None  # for its labels
        while (why := self._why_end(frames, max_frames, time.monotonic() >= end, waiting)) is None:
            if self._condition.stuck is None:
                self._beat()
            frame = self._next_frame(waiting)
            live = self._camera.drops_frames
            if waiting is not None and (self._recognizer.done or self._camera.state == "ended" or (live and frame)):
                self._publish_reading(waiting, at_once=live and frame is not None)
                waiting = None
            for state, message in self._statuses.due(got_frame=frame is not None):
                self._tell(state, message)
            if frame is not None:
                waiting, frames = self._take(frame, waiting, live=live), frames + 1
            elif waiting is None and self._camera.state == "waiting_for_camera":
                self._publish_tracks()  # what is seen once it is back may be another scene
                self._recognizer.end_tracks()
        if waiting is not None:
            self._publish_reading(waiting, at_once=self._camera.drops_frames and self.stopping.is_set())
        for state, message in self._statuses.due(got_frame=True):  # what the source said last
            self._tell(state, message)
        return why

    def _take(self, frame: Frame, waiting: FoundFaces | None, *, live: bool) -> FoundFaces | None:
        """Find the faces of a frame and have them classified, with the frame before published; None: it has none."""
        found = self._recognizer.find(frame, live=live, bank_deg=self._bank_deg(frame))
        if waiting is not None:
            self._publish_reading(waiting)
        self._publish_tracks(self._recognizer.ids)
        self._recognizer.submit(found)
        if found.faces:
            return found
        self._publish_reading(found)
        return None

    def _next_frame(self, waiting: FoundFaces | None) -> Frame | None:
        """The next frame; None when labels are there before it, or none came for a moment.

        Before an error of the source is raised, the frame before is published.
        """
        try:
            self._wake_up.clear()  # whatever comes from here on sets it again
            frame = self._camera.get(0)
            is_done = waiting is not None and self._recognizer.done
            if frame is None and not is_done and self._camera.state != "ended":
                self._wake_up.wait(_PATIENCE_S)
                frame = self._camera.get(0)
        except SourceError:
            if waiting is not None:
                self._publish_reading(waiting)
            raise
        return frame

    def _why_end(self, frames: int, max_frames: int | None, over: bool, waiting: FoundFaces | None) -> str | None:
        """Why no further frame should be read, if so; raises what ended the camera once nothing waits."""
        if self.stopping.is_set():
            return "asked to stop"
        if over:
            return "the time is over"
        if frames == max_frames:
            return f"{counted(frames, 'frame')} read"
        if self._camera.state == "ended" and waiting is None:
            self._camera.get(0)
            return self._camera.message
        return None

    def _bank_deg(self, frame: Frame) -> float:
        """How far the vehicle banked when a frame was taken, degrees; 0 where no sink knows."""
        attitude = self._sinks.attitude
        return attitude.roll_deg(frame.captured_ns) if attitude else 0.0

    def _publish_reading(self, found: FoundFaces, *, at_once: bool = False) -> None:
        """Publish a frame: once all its faces are classified, or at once with what is known of them."""
        if not at_once:
            self._recognizer.wait()
        self.has_read = True
        self.monitor.tick()
        now_ns = time.monotonic_ns()
        recognized = self._recognizer.result(found, now_ns)
        self._tracks.add(found, recognized)
        self._publish(self._reporter.reading(found.frame, recognized, now_ns), found.frame.image)

    def _publish_tracks(self, alive: frozenset[int] = frozenset()) -> None:
        """Publish what was seen of each face whose track has ended: of all but these."""
        for seen in self._tracks.take_ended(alive):
            self._publish(self._reporter.track(seen, self._recognizer.whole(seen.id)), None)


def _open_sinks(settings: Settings, sinks: Sequence[Sink], stopping: threading.Event, camera: Camera) -> SinkGroup:
    """All sinks of a run.

    A file waits for those given and for the recording. Where the run does not go on without, it ends when one of these
    fails.
    """
    needed = not settings.publish.keep_going
    with ExitStack() as stack:
        group = stack.enter_context(SinkGroup(lambda: not (stopping.is_set() or camera.drops_frames)))
        for sink in sinks:
            group.add(sink, essential=needed, awaited=True, logged=not needed)
        for sink in configured_sinks(settings):
            is_recording = sink.name == "recording"
            group.add(sink, essential=needed and is_recording, awaited=is_recording)
        stack.pop_all()
    return group
