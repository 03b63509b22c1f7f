"""A run from its start to the signal that ends it, and from one file of settings to the next.

SIGINT and SIGTERM end it, and so does a terminal that is closed under it. Any other SIGHUP reads the settings again:
valid ones that have changed begin a new run in the same process, with what the sinks have not sent yet; with others the
run goes on as before, and reports so. Where systemd started the service, it is notified of each of these.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Protocol

from typing_extensions import Self

from edge_fer.common.memory import give_back, limit_arenas
from edge_fer.common.terminal import Terminal
from edge_fer.errors import EdgeFerError, OutputClosed, SourceError
from edge_fer.pipeline import Pipeline
from edge_fer.publish import Sink
from edge_fer.publish.configured import validate_sinks
from edge_fer.publish.sink_group import Unsent, tell_losses
from edge_fer.publish.systemd import Notifier, SystemdSink
from edge_fer.settings import Settings
from edge_fer.settings.fingerprint import fingerprint

_ENDING = (signal.SIGINT, signal.SIGTERM)
_SIGINT_EXIT = 130

_log = logging.getLogger(__name__)


class Run(Protocol):
    """What a service runs: a `Pipeline`, or a server of faces."""

    @property
    def has_read(self) -> bool:
        """Whether there was a reading."""
        ...

    @property
    def lost(self) -> Counter[str]:
        """See `Pipeline.lost`."""
        ...

    def run(self, max_frames: int | None = None, duration_s: float | None = None) -> None:
        """Run to the end."""
        ...

    def say(self, message: str) -> None:
        """Publish a sentence as a status."""
        ...

    def resume(self, unsent: Unsent) -> None:
        """See `Pipeline.resume`."""
        ...

    def take_unsent(self) -> Unsent:
        """See `Pipeline.take_unsent`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


OpenRun = Callable[[Settings, Sequence[Sink], threading.Event, Callable[[], None]], Run]
"""Opens a run: its settings, its sinks beside those that the settings name, what ends it, and its heartbeat."""


def open_pipeline(
    settings: Settings, sinks: Sequence[Sink], stopping: threading.Event, beat: Callable[[], None]
) -> Run:
    """Open a run that reads a camera; see `Pipeline`."""
    return Pipeline(settings, sinks, stopping, beat=beat)


class Service:
    """Runs pipelines, or what else there is, until a signal ends it; for the main thread, as signals are.

    Args:
        settings: the settings of the first run.
        load: reads the settings again, at each SIGHUP.
        open_sinks: opens the sinks of a run, given its settings and a function that says whether the run shall stop.
        notifier: notifies systemd; None: the notifier that the environment names.
        max_frames: each run ends after so many readings; None: no limit.
        duration_s: each run ends after so many seconds; None: no limit.
        open_run: opens a run.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        open_sinks: Callable[[Settings, Callable[[], bool]], Sequence[Sink]],
        notifier: Notifier | None = None,
        max_frames: int | None = None,
        duration_s: float | None = None,
        open_run: OpenRun = open_pipeline,
    ) -> None:
        self._open_run = open_run
        self._settings, self._load, self._open_sinks = settings, load, open_sinks
        self._notifier = notifier or Notifier()
        self._limits = max_frames, duration_s
        self._stopping = threading.Event()
        self._ended_by: int | None = None
        self._hung_up = False
        self._terminal = Terminal()
        self._next: Settings | None = None
        self._pipeline: Run | None = None
        self._made_from: object = None  # fingerprint of the run's settings
        self._unsent: Unsent = {}  # by the sinks of earlier runs
        self._lost: Counter[str] = Counter()  # by sink

    def run(self) -> int:
        """Run to the end.

        Returns:
            The exit code.

        Raises:
            EdgeFerError: what ended a run, but for the loss of whoever read the output of one that was ending.
        """
        limit_arenas()
        for number in _ENDING:
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._hang_up)
        try:
            self._run_all()
        except OutputClosed:
            if self._ended_by is None:  # Ctrl-C ends the reader of a pipe, too
                raise
        finally:
            tell_losses(self._lost + Counter({name: len(records) for name, records in self._unsent.items()}))
        self._notifier.notify("STOPPING=1")
        return _SIGINT_EXIT if self._ended_by == signal.SIGINT else 0

    def _run_all(self) -> None:
        """One run after the other, as the settings are read again."""
        settings = self._settings
        before: Settings | None = None  # to go back to, should the new ones turn out not to work
        pipeline = self._open(settings)
        while True:
            try:
                following = self._run_one(pipeline)
            except SourceError as error:  # such as a file that is not there: only the first frame tells
                if before is None or pipeline.has_read:
                    raise
                del pipeline
                self._clean_up()
                pipeline, settings, before = self._go_back(before, error), before, None
                continue
            if following is None:
                return
            del pipeline
            self._clean_up()
            before = settings
            pipeline, settings = self._open_one_of(following, before)

    def _run_one(self, pipeline: Run) -> Settings | None:
        """Run until the end; the settings to go on with, if any."""
        self._pipeline = pipeline
        try:
            with pipeline:
                try:
                    pipeline.run(*self._limits)
                except OutputClosed:
                    if self._next is None:  # a reader that only stalls may read the next run
                        raise
        finally:
            self._unsent |= pipeline.take_unsent()
            self._lost += pipeline.lost
        following, self._next = self._next, None
        return following if self._ended_by is None else None

    def _clean_up(self) -> None:
        """What is due between two runs."""
        self._pipeline = self._next = None
        give_back()
        self._notifier.beat()

    def _open(self, settings: Settings) -> Run:
        self._stopping = threading.Event()
        if self._ended_by is not None:  # by a signal that came in between
            self._stopping.set()
        sinks = [SystemdSink(self._notifier), *self._open_sinks(settings, self._stopping.is_set)]
        self._made_from = fingerprint(settings)
        pipeline = self._open_run(settings, sinks, self._stopping, self._beat)
        pipeline.resume(self._unsent)
        return pipeline

    def _open_one_of(self, settings: Settings, before: Settings) -> tuple[Run, Settings]:
        """A run with new settings; where these turn out not to work, with those before."""
        try:
            return self._open(settings), settings
        except EdgeFerError as error:
            return self._go_back(before, error), before

    def _go_back(self, before: Settings, error: EdgeFerError) -> Run:
        """A run with the settings before, which says why."""
        _log.error("the new settings do not work, the old ones are kept: %s", error)
        pipeline = self._open(before)
        pipeline.say(f"the new settings do not work, the old ones are kept: {error}")
        return pipeline

    def _beat(self) -> None:
        """What is due whenever the loop turns."""
        self._notifier.beat()
        if self._hung_up:
            self._hung_up = False
            self._reload()

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            following = self._load()
            validate_sinks(following)
        except Exception as error:
            if not isinstance(error, EdgeFerError):
                _log.exception("reading the settings failed unexpectedly")
            _log.warning("the settings are not read again, the old ones are kept: %s", error)
            self._notifier.notify("READY=1")
            assert self._pipeline is not None
            self._pipeline.say(f"the settings are not read again, the old ones are kept: {error}")
            return
        if fingerprint(following) == self._made_from:
            _log.info("the settings were read again, and nothing has changed")
            self._notifier.notify("READY=1")
        else:
            _log.info("the settings were read again")
            self._next = following
            with _signals_held():
                self._stopping.set()

    def _end(self, number: int, _: FrameType | None) -> None:
        if self._ended_by is None:  # else the event may be about to be set just below, and its lock be taken
            self._ended_by = number
            self._stopping.set()

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        """The terminal has gone, which ends the run; or somebody wants the settings to be read again."""
        if self._terminal.gone:
            self._end(number, frame)
        else:
            self._hung_up = True


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals wait: their handler sets the event, too, whose lock one thread cannot take twice."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
