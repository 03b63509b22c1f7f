"""Reading expressions from Python: `from edge_fer import EdgeFer`."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Generic, Literal, NamedTuple, TypeVar, overload

from edge_fer.common.closeable import Closeable
from edge_fer.common.picture import check_picture
from edge_fer.common.text import redact
from edge_fer.errors import ForkError, OutputError
from edge_fer.pipeline import Pipeline
from edge_fer.publish import Sink
from edge_fer.publish.sink_group import tell_losses
from edge_fer.recognizer import Recognizer
from edge_fer.schema import Reading, Record, Status, TrackRecord
from edge_fer.settings import Settings, changed_settings, load_settings
from edge_fer.status.monitor import Monitor
from edge_fer.status.reporter import Identity
from edge_fer.types import Frame, Image

STOP_S = 30.0
"""Leaving an iteration waits so long for the run to end, and raises when it has not."""

_LOOK_S = 0.1


class EdgeFer(Closeable):
    """Reads faces from a camera, or in single pictures.

        with EdgeFer() as fer:
            for reading in fer:
                print(reading.faces)

    Args:
        settings: the settings of each run; None: the defaults, with what `EDGE_FER_...` in the environment changes. The
            sinks that they name are served beside the iteration.
        on_status: called with every status, in a thread of its own that it may hold up.
        on_track: called with what was seen of each face that has left, in a thread of its own that it may hold up.
        **flags: settings by their dotted names, with two underscores for the dot: `capture__source="sample"`; they
            win over `settings`.

    Raises:
        ConfigError: when a setting is not known, or not valid.
        TypeError: when `settings` are none.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        on_status: Callable[[Status], None] = lambda _: None,
        on_track: Callable[[TrackRecord], None] = lambda _: None,
        **flags: object,
    ) -> None:
        if not isinstance(settings, Settings | None):
            raise TypeError(
                f"expected Settings, found {type(settings).__name__}; single ones are named: capture__source='0'"
            )
        dotted = {name.replace("__", "."): value for name, value in flags.items()}
        self._settings = changed_settings(settings or load_settings(), dotted)
        self._on_status, self._on_track = on_status, on_track
        self._process = os.getpid()
        self._lock = threading.Lock()  # around the next two
        self._closed = False
        self._iterations: set[threading.Event] = set()  # what stops each iteration under way
        self._one_at_a_time = threading.Lock()  # around the next one
        self._pictures: _Pictures | None = None

    def __iter__(self) -> Iterator[Reading]:
        """Run: every reading, in order; see `read`."""
        return self.read()

    @overload
    def read(self, *, with_frames: Literal[False] = False) -> Iterator[Reading]: ...

    @overload
    def read(self, *, with_frames: Literal[True]) -> Iterator[tuple[Image, Reading]]: ...

    def read(self, *, with_frames: bool = False) -> Iterator[Reading] | Iterator[tuple[Image, Reading]]:
        """Run: every reading, in order, until the source ends or `close` is called.

        A live source is not held up: what comes while the last reading is being dealt with is replaced by what
        comes next, so that the reading you get is always a new one. Of a file you get every reading.

        Args:
            with_frames: give each reading with the frame that was read, `(height, width, 3)` uint8, BGR, read-only.

        Raises:
            EdgeFerError: what ended the run.
            RuntimeError: after `close`, and in a process that was forked from this one (`ForkError`).
        """
        pairs = self._pairs(_Handover(threading.Event()))
        return pairs if with_frames else (reading for _, reading in pairs)

    def _pairs(self, handover: _Handover) -> Iterator[tuple[Image, Reading]]:
        """Run: every reading and its frame."""
        stopping = handover.stopping
        with self._under_way(stopping):
            statuses = _Callback("on_status", Status, self._on_status)
            tracks = _Callback("on_track", TrackRecord, self._on_track)
            pipeline = Pipeline(self._settings, [handover, statuses, tracks], stopping)
            run = threading.Thread(target=handover.watch, args=(pipeline,), name="run", daemon=True)
            run.start()
            try:
                for pair in handover:
                    yield pair
                    self._check_process()
            finally:
                if self._is_ours:
                    _stop(run, stopping)

    def analyze(self, image: Image) -> Reading:
        """Read every face of one picture; several threads take turns.

        Args:
            image: `(height, width, 3)` uint8, BGR, as `cv2.imread` gives it.

        Raises:
            TypeError: when it is no array.
            ValueError: when it is no such picture.
            EdgeFerError: when a network fails.
            RuntimeError: after `close`, and in a process that was forked from this one (`ForkError`).
        """
        check_picture(image)
        self._check_process()
        with self._one_at_a_time:
            self._check_open()
            if self._pictures is None:
                self._pictures = _Pictures(self._settings)
            return self._pictures.read(image)

    def close(self) -> None:
        """End all iterations after the reading under way, and free the networks; may be called again.

        In a process that was forked from this one it does nothing: all of it belongs to the parent.
        """
        if not self._is_ours:
            return
        with self._lock:
            self._closed = True
            for stopping in self._iterations:
                stopping.set()
        with self._one_at_a_time:
            pictures, self._pictures = self._pictures, None
            if pictures is not None:
                pictures.close()

    @contextmanager
    def _under_way(self, stopping: threading.Event) -> Iterator[None]:
        """While an iteration runs, `close` ends it."""
        self._check_process()
        with self._lock:
            self._check_open()
            self._iterations.add(stopping)
        try:
            yield
        finally:
            if self._is_ours:
                with self._lock:
                    self._iterations.discard(stopping)

    @property
    def _is_ours(self) -> bool:
        """Whether this process made it: in one that was forked from it there are no threads, and locks may be held."""
        return os.getpid() == self._process

    def _check_process(self) -> None:
        if not self._is_ours:
            raise ForkError("expected an EdgeFer of this process, found one from before a fork; make it in the child")

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("expected an EdgeFer that is open, found that it was closed; make another")


class _Pictures(Closeable):
    """Reads single pictures, one at a time.

    Args:
        settings: the settings of the stages; no sink is opened.
    """

    def __init__(self, settings: Settings) -> None:
        self._monitor = Monitor(settings.monitor.window_s)
        self._recognizer = Recognizer(settings, self._monitor.stage)
        self._identity = Identity(settings.device_name, redact(settings.capture.source))
        self._numbers = itertools.count()

    def read(self, image: Image) -> Reading:
        """Read every face of `(height, width, 3)` uint8, BGR."""
        now_ns = time.monotonic_ns()
        frame = Frame(next(self._numbers), image, now_ns, time.time(), now_ns, still=True)
        (recognized,) = self._recognizer.read([frame])
        self._monitor.tick()
        return self._identity.reading(
            frame, recognized, time.monotonic_ns(), reason=recognized.origin.reason, fps=self._monitor.fps()
        )

    def close(self) -> None:
        """Free the networks."""
        self._recognizer.close()


RecordT = TypeVar("RecordT", Status, TrackRecord)


class _End(NamedTuple):
    """The run is over.

    Attributes:
        error: what ended it, if not the source.
    """

    error: Exception | None


class _Callback(Sink, Generic[RecordT]):
    """Hands the records of one kind to a function."""

    internal = True

    def __init__(self, name: str, kind: type[RecordT], take: Callable[[RecordT], None]) -> None:
        self.name = name
        self._kind: type[RecordT] = kind
        self._take: Callable[[RecordT], None] = take

    def publish(self, record: Record, image: Image | None) -> None:
        """Hand over a record; see `edge_fer.publish.Sink.publish`."""
        if isinstance(record, self._kind):
            self._take(record)


def _stop(run: threading.Thread, stopping: threading.Event) -> None:
    """End a run."""
    stopping.set()
    run.join(STOP_S)
    if run.is_alive():
        raise OutputError(f"expected the run to end within {STOP_S:g} s, found it stuck; restart the program")


class _Handover(Sink):
    """Hands readings and their frames from the run's thread to whoever iterates, one at a time.

    Args:
        stopping: nobody takes readings any more once it is set.
    """

    name = "python"
    pictures = True
    queue_size = 1

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping
        self._wanted = threading.Semaphore(0)
        self._given: Queue[tuple[Image, Reading] | _End] = Queue()

    def publish(self, record: Record, image: Image | None) -> None:
        """Wait until it is wanted; see `edge_fer.publish.Sink.publish`."""
        if not isinstance(record, Reading) or image is None:
            return
        while not self._wanted.acquire(timeout=_LOOK_S):
            if self.stopping.is_set():
                return
        frame = image.view()
        frame.flags.writeable = False  # other sinks have it, too
        self._given.put((frame, record))

    def watch(self, pipeline: Pipeline) -> None:
        """Run a pipeline to its end, and hand over what ended it."""
        error: Exception | None = None
        try:
            with pipeline:
                pipeline.run()
        except Exception as found:  # raised where the readings are taken
            error = found
        tell_losses(pipeline.lost)
        self._given.put(_End(error))

    def __iter__(self) -> Iterator[tuple[Image, Reading]]:
        while True:
            self._wanted.release()
            given = self._given.get()
            if isinstance(given, _End):
                if given.error is not None:
                    raise given.error
                return
            yield given
