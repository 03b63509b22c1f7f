"""The event loop that all connections share, in a thread of its own."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import Any

from edge_fer.common.closeable import Closeable
from edge_fer.common.deadline import Deadline, Heartbeat
from edge_fer.common.exhaustion import is_exhausted
from edge_fer.common.log_limit import LogLimit
from edge_fer.errors import OutputError
from edge_fer.serve.admission import Admission
from edge_fer.serve.dispatcher import Dispatcher
from edge_fer.serve.networks import ServedNetwork
from edge_fer.serve.session import Served, Session
from edge_fer.settings.addresses import Place

_BACKLOG = 32  # connections that are accepted at a time, before the first of them is counted
_BEAT_S = 0.5

_log = logging.getLogger(__name__)
_log.addFilter(LogLimit())


def listen(place: Place) -> socket.socket:
    """Open a socket that listens.

    Args:
        place: an IP address of this computer, and a port.

    Raises:
        OutputError: when it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        advice = {
            errno.EADDRINUSE: "another program has that port: end it, or choose another one",
            errno.EADDRNOTAVAIL: "this box has no such address: see `ip address`",
            errno.EACCES: "ports below 1024 are for root: choose another one",
        }.get(error.errno or 0, "choose another address or port")
        raise OutputError(
            f"expected to listen at {place.host} port {place.port} (serve.listen), found: {error.strerror}; {advice}"
        ) from error
    return listener


class Server(Closeable):
    """Serves networks to whoever connects, until it is closed.

    Args:
        listener: a socket that listens; closed with the server.
        networks: what is served; they are not closed with it.
        admission: which clients are served.
        tls: for connections with TLS; None: without.
        stage: times each inference; see `Monitor.stage`.
        deadline: of the inferences under way.
        heartbeat: of the event loop.

    Attributes:
        port: the port that it listens at.
    """

    def __init__(
        self,
        listener: socket.socket,
        networks: Sequence[ServedNetwork],
        admission: Admission,
        tls: ssl.SSLContext | None,
        stage: Callable[[str], AbstractContextManager[None]],
        deadline: Deadline,
        heartbeat: Heartbeat,
    ) -> None:
        self._listener, self._networks, self._admission = listener, networks, admission
        self._tls, self._stage = tls, stage
        self.port: int = listener.getsockname()[1]
        self._deadline, self._heartbeat = deadline, heartbeat
        self._sessions: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serve", daemon=True)
        self._thread.start()
        self._running.wait(admission.limits.stop_s)

    @property
    def is_alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End every connection, and the thread.

        Raises:
            OutputError: when that does not end in time.
        """
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None:
            with suppress(RuntimeError):  # it has ended by itself, and its loop with it
                loop.call_soon_threadsafe(stopping.set)
        self._thread.join(self._admission.limits.stop_s)
        if self._thread.is_alive():
            limit = f"{self._admission.limits.stop_s:g} s"
            raise OutputError(f"expected the server to end within {limit}, found it stuck; restart edge-fer")

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            _log.exception("serve: the server failed unexpectedly; it is started again")
        finally:
            self._listener.close()
            self._running.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_note_error)
        count = sum(len(network.devices) for network in self._networks)
        executor = ThreadPoolExecutor(count, thread_name_prefix="device")
        served = {
            bytes.fromhex(network.sha256): (network, Dispatcher(network, executor, self._stage, self._deadline))
            for network in self._networks
        }
        working = [asyncio.create_task(dispatcher.run()) for _, dispatcher in served.values()]

        async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._welcome(reader, writer, served)

        options = {} if self._tls is None else self._tls_options(self._tls)
        server = await asyncio.start_server(welcome, sock=self._listener, backlog=_BACKLOG, **options)
        try:
            async with server:
                self._running.set()
                await self._beat_until_stopped(working)
                server.close()
                await self._end_sessions()
        finally:
            for task in working:
                task.cancel()
            executor.shutdown(cancel_futures=True)  # the devices are closed next, by another thread

    def _tls_options(self, tls: ssl.SSLContext) -> dict[str, Any]:
        """What asyncio needs for TLS."""
        limits = self._admission.limits
        options = {"ssl": tls, "ssl_handshake_timeout": limits.hello_s}
        if sys.version_info >= (3, 11):
            options["ssl_shutdown_timeout"] = limits.stalled_s
        return options

    async def _beat_until_stopped(self, working: Sequence[asyncio.Task[None]]) -> None:
        """Show that the loop turns; raises what ended one of the tasks, which none should."""
        assert self._stopping is not None
        while not self._stopping.is_set():
            self._heartbeat.beat()
            with suppress(asyncio.TimeoutError):  # not told to stop yet
                await asyncio.wait_for(self._stopping.wait(), _BEAT_S)
            for task in working:
                if task.done():
                    task.result()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, served: Served) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await Session(reader, writer, self._admission, served).run()
        except asyncio.CancelledError:
            return  # the server ends; before Python 3.12, asyncio takes a task that was cancelled for one that failed
        finally:
            self._sessions.discard(task)

    async def _end_sessions(self) -> None:
        for task in self._sessions:
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)


def _note_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what failed in the event loop; asyncio's own handler has no bound."""
    error = context.get("exception")
    if isinstance(error, OSError) and is_exhausted(error):
        _log.error("serve: a client has to wait, found: %s", error.strerror)
    elif isinstance(error, OSError):
        _log.warning("serve: a connection failed: %s", error)
    else:
        _log.error("serve: %s", context["message"], exc_info=error)
