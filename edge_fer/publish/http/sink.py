"""The sink: takes records, and keeps the web server running."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_fer.common.backoff import Backoff
from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.publish.drawing.face_hider import Hider, ShowAll
from edge_fer.publish.http.app import Site
from edge_fer.publish.http.limits import DEFAULT_LIMITS, Limits
from edge_fer.publish.http.security import read_token
from edge_fer.publish.http.server import AddressMissing, Server
from edge_fer.publish.http.state import HttpState
from edge_fer.schema import Record, SinkState, SinkStatus
from edge_fer.settings import HttpSettings, PrivacySettings
from edge_fer.types import Image

_RETRY_S, _RETRY_MAX_S = 1.0, 30.0


class HttpSink(Sink):
    """Serves the records that it takes; while it cannot, as when the port is in use, it tries again.

    Args:
        settings: the address, the clients and the rates.
        privacy: the notice to people.
        device: the box's name.
        clock: seconds that never go backwards.
        limits: the server's bounds.
        hider: what pictures pass before anybody sees them; it is closed with the sink. None: they show all.

    Raises:
        ConfigError: when the token's file cannot be used.
    """

    name = "http"
    tick_s = 1.0

    def __init__(
        self,
        settings: HttpSettings,
        privacy: PrivacySettings,
        device: str,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits = DEFAULT_LIMITS,
        hider: Hider | None = None,
    ) -> None:
        self._settings, self._limits = settings, limits
        token = read_token(settings.token_file)
        self._hider = hider or ShowAll()
        self._state = HttpState(settings, token, self._hider, limits)
        self._site = Site(settings, self._state, token, device, privacy.notice or "")
        self._retry = Backoff(_RETRY_S, _RETRY_MAX_S, clock)
        self._server: Server | None = None
        self._lock = threading.Lock()  # guards the status, which the sink's thread writes and others read
        self._status = SinkStatus("waiting")
        self.tick()

    @property
    def port(self) -> int | None:
        """The port that it listens at; None while it does not."""
        return self._server.port if self._server is not None else None

    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record; see `edge_fer.publish.Sink.publish`."""
        self.tick()
        self._state.update(record, image)
        is_served = self._server is not None
        self._change(sent=int(is_served), dropped=int(not is_served))

    def tick(self) -> None:
        """Start the server where it does not run, with pauses between two attempts."""
        if self._server is not None and self._server.is_alive:
            return
        if self._server is not None:
            self._server = None
            self._note_failure("waiting", "the web server ended; it is started again")
        if not self._retry.ready:
            return
        try:
            self._server = Server(self._site.app, self._state, self._settings, self._limits)
        except OutputError as error:
            self._note_failure("waiting" if isinstance(error, AddressMissing) else "failed", str(error))
        else:
            self._retry.reset()
            self._change("ok")

    @property
    def condition(self) -> SinkStatus:
        """State and counters; what slow clients lost counts as dropped."""
        with self._lock:
            status = self._status
        return SinkStatus(status.state, status.sent, status.dropped + self._state.lost, reason=status.reason)

    def close(self) -> None:
        """End every stream, and the server.

        Raises:
            OutputError: when it does not end in time.
        """
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self._hider.close()

    def _note_failure(self, state: SinkState, reason: str) -> None:
        self._retry.failed()
        self._change(state, reason)

    def _change(
        self, state: SinkState | None = None, reason: str | None = None, *, sent: int = 0, dropped: int = 0
    ) -> None:
        """Set state and reason, where a state is given, and add to the counters: all at one moment."""
        with self._lock:
            before = self._status
            if state is None:
                state, reason = before.state, before.reason
            self._status = SinkStatus(state, before.sent + sent, before.dropped + dropped, reason=reason)


class LiveHttpSink(HttpSink):
    """The same, with the camera's picture."""

    pictures = True
    queue_size = 4
