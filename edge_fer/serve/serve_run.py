"""A run of `edge-fer serve`: opens networks, sinks and the server, and reports how all of it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import cv2

from edge_fer.common.backoff import Backoff
from edge_fer.common.deadline import Deadline, Heartbeat
from edge_fer.common.secret_file import read_token
from edge_fer.common.tls import server_context
from edge_fer.errors import OutputError
from edge_fer.inference.model_store import ModelStore
from edge_fer.publish import Sink
from edge_fer.publish.configured import configured_sinks
from edge_fer.publish.sink_group import SinkGroup
from edge_fer.schema import ServedStatus, State
from edge_fer.serve.admission import Admission, Counts, Limits
from edge_fer.serve.condition import Clients, Devices
from edge_fer.serve.networks import open_networks
from edge_fer.serve.server import Server, listen
from edge_fer.settings import Settings
from edge_fer.status.health import Health
from edge_fer.status.monitor import Monitor
from edge_fer.status.reported_run import ReportedRun
from edge_fer.status.reporter import Reporter
from edge_fer.status.run_condition import RunCondition
from edge_fer.status.scheduler import StatusScheduler

_TURN_S = 0.1  # a request to stop is noticed after so long at most
_RETRY_S, _RETRY_MAX_S = 1.0, 30.0


class ServeRun(ReportedRun):
    """One run of the server; see `edge_fer.service.Run`.

    Args:
        settings: the run's settings.
        sinks: take every status, beside those that the settings name; closed with the run.
        stopping: ends the run once it is set.
        beat: called whenever the loop turns and nothing in another thread is stuck, ten times a second at least.
        limits: bounds that no setting changes.

    Attributes:
        has_read: false: there are no readings here.
        port: the port that it listens at; None while it does not.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when a device cannot run it.
        ConfigError: when a file that the settings name cannot be used.
        OutputError: when a file cannot be written.
    """

    has_read = False

    def __init__(
        self,
        settings: Settings,
        sinks: Sequence[Sink],
        stopping: threading.Event,
        beat: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
    ) -> None:
        cv2.setNumThreads(1)
        serve = settings.serve
        self._settings, self._stopping, self._beat = serve, stopping, beat
        self._keep_going = settings.publish.keep_going
        self._counts, self._monitor = Counts(), Monitor(settings.monitor.window_s)
        self._deadline, self._heartbeat = Deadline(), Heartbeat()
        token = None if serve.token_file is None else read_token(serve.token_file, "serve.token_file")
        certificate = serve.cert_file if serve.tls else None
        self._tls = None if certificate is None else server_context(certificate, serve.key_file, serve.ca_file)
        self._admission = Admission(token, serve.max_clients, serve.idle_s, limits or Limits(), self._counts)
        self._clients = Clients(f"serve:{serve.listen}", self._counts)
        self._server: Server | None = None
        self._retry = Backoff(_RETRY_S, _RETRY_MAX_S)
        with ExitStack() as stack:
            self._health = stack.enter_context(Health(settings.health, lambda: False))
            networks = open_networks(settings.classify, ModelStore(settings.models), stopping.is_set)
            for network in networks:
                stack.enter_context(network)
            self._networks = networks
            self._sinks = stack.enter_context(_open_sinks(settings, sinks))
            stack.callback(self._stop_server)
            self._opened = stack.pop_all()
        self._condition = RunCondition(
            self._clients,
            Devices(settings.classify.model, networks),
            self._health,
            {"labels": self._deadline, "clients": self._heartbeat},
        )
        self._reporter = Reporter(settings.device_name, self._condition, self._monitor, self._sinks, self._served)
        self._statuses = StatusScheduler(self._condition, self._sinks, keep_going=self._keep_going)

    @property
    def port(self) -> int | None:
        """The port that it listens at; None while it does not."""
        return None if self._server is None else self._server.port

    def run(self, max_frames: int | None = None, duration_s: float | None = None) -> None:
        """Serve until `stopping` is set, or a limit is reached.

        Args:
            max_frames: not used: there are no frames.
            duration_s: end after so many seconds.

        Raises:
            OutputError: when it cannot listen and shall not go on without, or a sink cannot be written.
        """
        try:
            origin = self._condition.origin
            self._health.start()
            self._tell("starting", f"{origin.model} runs on {origin.backend}")
            self._loop(float("inf") if duration_s is None else time.monotonic() + duration_s)
        except OutputError as error:
            self._tell("stopping", str(error))
            raise
        self._tell("stopping", "asked to stop" if self._stopping.is_set() else "the time is over")

    def say(self, message: str) -> None:
        """Publish a sentence as a status; for the thread that calls `run`, or before it does."""
        self._tell("running", message)

    def _loop(self, end: float) -> None:
        while not self._stopping.is_set() and time.monotonic() < end:
            self._keep_serving()
            if self._condition.stuck is None:
                self._beat()
            for state, message in self._statuses.due(got_frame=False):
                self._tell(state, message)
            self._stopping.wait(_TURN_S)

    def _keep_serving(self) -> None:
        """Start the server where it does not run, with pauses between two attempts.

        Raises:
            OutputError: when it cannot listen, and shall not go on without.
        """
        if self._server is not None and self._server.is_alive:
            return
        self._heartbeat.beat()  # of no server
        if self._server is not None:
            self._server = None
            self._clients.restarts += 1
            self._wait("the server ended")
        if not self._retry.ready:
            return
        try:
            listener = listen(self._settings.place)
        except OutputError as error:
            if not self._keep_going:
                raise
            self._wait(str(error))
            return
        self._server = Server(
            listener, self._networks, self._admission, self._tls, self._monitored, self._deadline, self._heartbeat
        )
        self._retry.reset()
        self._clients.waiting = None
        self._tell(*self._running())

    def _wait(self, why: str) -> None:
        self._clients.waiting = f"{why}; trying again in {self._retry.failed():g} s"
        self._tell("degraded", self._clients.waiting)

    def _running(self) -> tuple[State, str]:
        return "running", f"listening at {self._settings.place.host} port {self.port}"

    @contextmanager
    def _monitored(self, name: str) -> Iterator[None]:
        """Time an inference, and count it as what a frame is to a camera's run."""
        with self._monitor.stage(name):
            yield
        self._monitor.tick()

    def _served(self) -> ServedStatus:
        counts = self._counts
        return ServedStatus(
            self._server is not None, counts.clients, counts.faces, counts.late, counts.away, dict(counts.refused)
        )

    def _stop_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()


def open_serve_run(
    settings: Settings, sinks: Sequence[Sink], stopping: threading.Event, beat: Callable[[], None]
) -> ServeRun:
    """Open a run that serves other computers; see `edge_fer.service.OpenRun`."""
    return ServeRun(settings, sinks, stopping, beat)


def _open_sinks(settings: Settings, sinks: Sequence[Sink]) -> SinkGroup:
    """All sinks of a run; where it does not go on without those that are given, it ends when one of these fails."""
    needed = not settings.publish.keep_going
    with ExitStack() as stack:
        group = stack.enter_context(SinkGroup(lambda: False))
        for sink in sinks:
            group.add(sink, essential=needed, logged=not needed)
        for sink in configured_sinks(settings):
            group.add(sink, essential=False)
        stack.pop_all()
    return group
