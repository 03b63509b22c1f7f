"""uvicorn in a thread of its own."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from edge_fer.common.exhaustion import is_exhausted
from edge_fer.common.log_limit import LogLimit
from edge_fer.errors import OutputError
from edge_fer.publish.http.limits import Limits
from edge_fer.publish.http.protocol import BACKLOG, uvicorn_limits
from edge_fer.publish.http.state import HttpState
from edge_fer.settings import HttpSettings

SERVER = "edge-fer"
"""The header `Server` of every answer."""

_START_S = 4.0  # longest wait for the server's thread to run
_GRACE_S = 2

_LATE_START = "._start_serving("
"""asyncio's way to accept again after it had run out of files; it may come to that when the server has closed."""

_log = logging.getLogger(__name__)
_clients_log = logging.getLogger(f"{__name__}.clients")
"""What clients can cause as often as they like."""
_clients_log.addFilter(LogLimit())


class AddressMissing(OutputError):
    """An address that this machine does not have, and may get later."""


class PortTaken(OutputError):
    """A port that another program listens at."""


def listen(address: str, port: int) -> socket.socket:
    """Open a socket that listens.

    Args:
        address: an IP address of this machine.
        port: the port; 0: any free one.

    Raises:
        OutputError: when it cannot listen there; `AddressMissing` or `PortTaken` where that is the reason.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        kind = {errno.EADDRNOTAVAIL: AddressMissing, errno.EADDRINUSE: PortTaken}.get(error.errno or 0, OutputError)
        advice = {
            errno.EADDRINUSE: "another program, or another edge-fer, has that port: end it, or choose another one",
            errno.EADDRNOTAVAIL: "this box has no such address: see `ip address`",
            errno.EACCES: "ports below 1024 are for root: choose another one",
        }.get(error.errno or 0, "choose another address or port")
        raise kind(
            f"expected to listen at {address} port {port} (publish.http), found: {error.strerror}; {advice}"
        ) from error
    return listener


def is_served(address: str, port: int, answer_s: float) -> bool:
    """Whether an edge-fer answers at a port; 0.0.0.0 and :: mean this machine, too.

    Args:
        address: an IP address of this machine.
        port: the port.
        answer_s: how long to wait for the answer, seconds.
    """
    with closing(HTTPConnection(address, port, timeout=answer_s)) as connection:
        try:
            connection.request("HEAD", "/healthz")
            return connection.getresponse().getheader("Server") == SERVER
        except (OSError, HTTPException):
            return False


class Server:
    """Serves an app until it is closed.

    Args:
        app: answers the requests.
        state: what is shown; its streams end with the server.
        settings: the address, and how many clients.
        limits: the server's bounds.

    Attributes:
        port: the port that it listens at.

    Raises:
        OutputError: when it cannot listen there.
    """

    def __init__(self, app: ASGIApp, state: HttpState, settings: HttpSettings, limits: Limits) -> None:
        self._state, self._stop_s = state, limits.stop_s
        self._listener = listen(settings.address, settings.port)
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level=logging.ERROR,  # a client's bad request is no error of the server
            access_log=False,
            server_header=False,
            headers=[("Server", SERVER)],
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_S,
            **uvicorn_limits(settings.max_clients, state.unauthenticated, limits),
        )
        _take_over_log("uvicorn.error")
        self._uvicorn = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None  # set before the event below, and read after it
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http server", daemon=True)
        self._thread.start()
        self._running.wait(_START_S)

    @property
    def is_alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End every stream, and the thread.

        Raises:
            OutputError: when the thread does not end in time.
        """
        if self._loop is not None:
            with suppress(RuntimeError):  # the server has ended by itself, and its loop with it
                self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(self._stop_s)
        if self._thread.is_alive():
            raise OutputError(
                f"expected the web server to end within {self._stop_s:g} s, found it stuck; restart edge-fer"
            )

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            _log.exception("the web server failed unexpectedly; it is started again")
        finally:
            self._running.set()
            self._state.attach(None)
            self._state.close()
            self._listener.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(note_error)
        self._state.attach(self._loop)
        self._running.set()
        await self._uvicorn.serve(sockets=[self._listener])

    def _stop(self) -> None:
        self._state.close()
        self._uvicorn.should_exit = True


class _Forward(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _clients_log.handle(record)


def _take_over_log(library: str) -> None:
    """Let a library log as clients are logged."""
    logger = logging.getLogger(library)
    logger.handlers[:] = [_Forward()]
    logger.propagate = False


def note_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what failed in an event loop; asyncio's own handler has no bound.

    Args:
        _: the loop.
        context: see `asyncio.loop.call_exception_handler`.
    """
    error = context.get("exception")
    if isinstance(error, OSError) and is_exhausted(error):
        _clients_log.error("http: a client has to wait, found: %s", error.strerror)
    elif _LATE_START not in context["message"]:
        _clients_log.error("http: %s", context["message"], exc_info=error)
