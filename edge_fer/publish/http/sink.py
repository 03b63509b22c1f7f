"""The sink: takes records, and keeps the server up."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_fer.common.backoff import Backoff
from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.publish.http.app import Site
from edge_fer.publish.http.security import read_token
from edge_fer.publish.http.server import NotYet, Server
from edge_fer.publish.http.state import HttpState
from edge_fer.schema import Record, SinkState, SinkStatus
from edge_fer.settings import HttpSettings, PrivacySettings
from edge_fer.types import Image

_RETRY_S, _RETRY_MAX_S = 1.0, 30.0


class HttpSink(Sink):
    """Serves the records that it takes; while it cannot, as when the port is in use, it tries again.

    Args:
        settings: where, to whom and what.
        privacy: what may be seen of people, and the notice to them.
        device: name of the box.
        clock: seconds that never go backwards.

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
    ) -> None:
        self._settings = settings
        token = read_token(settings.token_file)
        self._state = HttpState(settings, token, blur=privacy.blur_faces)
        self._site = Site(settings, self._state, token, device, privacy.notice or "")
        self._retry = Backoff(_RETRY_S, _RETRY_MAX_S, clock)
        self._server: Server | None = None
        self._sink_state: SinkState = "waiting"
        self._reason: str | None = None
        self._sent = self._unserved = 0
        self.tick()

    @property
    def port(self) -> int | None:
        """That it listens at; null while it cannot."""
        return self._server.port if self._server is not None else None

    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record; see `edge_fer.publish.Sink.publish`."""
        self.tick()
        self._state.tell(record, image)
        if self._server is not None:
            self._sent += 1
        else:
            self._unserved += 1

    def tick(self) -> None:
        """Start the server where it does not run, now and then."""
        if self._server is not None and self._server.is_alive:
            return
        if self._server is not None:
            self._server = None
            self._note("waiting", "the web server ended; it is started again")
        if not self._retry.ready:
            return
        try:
            self._server = Server(self._site.app, self._state, self._settings)
        except OutputError as error:
            self._note("waiting" if isinstance(error, NotYet) else "failed", str(error))
        else:
            self._retry.reset()
            self._sink_state, self._reason = "ok", None

    @property
    def condition(self) -> SinkStatus:
        """How it is; what slow clients lost counts as dropped."""
        return SinkStatus(self._sink_state, self._sent, dropped=self._unserved + self._state.lost, reason=self._reason)

    def close(self) -> None:
        """End every stream, and the server.

        Raises:
            OutputError: when it does not end in time.
        """
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _note(self, state: SinkState, reason: str) -> None:
        self._retry.failed()
        self._sink_state, self._reason = state, reason


class LiveHttpSink(HttpSink):
    """The same, with the camera's picture."""

    pictures = True
    queue_size = 4
