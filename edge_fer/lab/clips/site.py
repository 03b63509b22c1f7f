"""The labelling page's server: on this machine only, and only for whoever has opened the printed address.

The guard of the runtime's own page stands in front of it: other host names (DNS rebinding) and pages of other origins
are refused, and so is whoever has no session. A session begins with the key in the address, new at each start.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_fer.common.rate_limiter import RateLimiter
from edge_fer.common.unauthenticated import UnauthenticatedConnections
from edge_fer.errors import EdgeFerError, OutputError, SourceError
from edge_fer.lab.clips.labelling import Labelling
from edge_fer.lab.clips.marks import FLAG_NAMES, FLAGS
from edge_fer.publish.http.guard import COOKIE, MAX_BODY_BYTES, Guard, address_of
from edge_fer.publish.http.limits import DEFAULT_LIMITS
from edge_fer.publish.http.page import Page
from edge_fer.publish.http.protocol import uvicorn_limits
from edge_fer.publish.http.security import SESSION_S, Hosts, Token
from edge_fer.publish.http.server import PortTaken, listen
from edge_fer.types import LABELS

ADDRESS = "127.0.0.1"
OPEN = "/open"

_REQUESTS_A_SECOND = 1000.0  # the frames of a clip come one by one
_CONNECTIONS = 64
_JSON = "application/json"  # which no form of another page can send

_log = logging.getLogger(__name__)


class LabellingServer:
    """Serves the page until it is stopped.

    Args:
        labelling: what the page does.
        port: the port; 0: any free one.

    Attributes:
        port: see above; the one that was found.
        url: the address to open, with the key.

    Raises:
        OutputError: when the port is taken.
    """

    def __init__(self, labelling: Labelling, port: int) -> None:
        key = secrets.token_urlsafe(24)
        unauthenticated = UnauthenticatedConnections(DEFAULT_LIMITS.unauthenticated)
        try:
            self._listener: socket.socket = listen(ADDRESS, port)
        except PortTaken as error:
            raise OutputError(
                f"expected to listen at {ADDRESS} port {port}, found it taken; choose another one: --port 0"
            ) from error
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{ADDRESS}:{self.port}{OPEN}?key={key}"
        config = uvicorn.Config(
            site(labelling, key, unauthenticated),
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            **uvicorn_limits(_CONNECTIONS, unauthenticated, DEFAULT_LIMITS),
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until `stop` is called, or Ctrl-C or SIGTERM arrive in the main thread."""
        try:
            with _handled_by(lambda *_: self.stop()):
                asyncio.run(self._serve())
        finally:
            self._listener.close()

    async def _serve(self) -> None:
        try:
            await self._server.serve(sockets=[self._listener])
        finally:  # uvicorn leaves open what was still busy after its grace
            for connection in list(self._server.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Let `run` end; for any thread."""
        self._server.should_exit = True


@contextmanager
def until_ended() -> Iterator[None]:
    """Ctrl-C and SIGTERM end what is within, which cleans up behind itself, and are no error."""
    with suppress(KeyboardInterrupt), _handled_by(signal.default_int_handler):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Ctrl-C and SIGTERM are handled so within, also where the program was started with Ctrl-C ignored.

    While uvicorn serves, it handles them itself, and raises them again once it has ended: they arrive at the handler
    then. Outside of the main thread, which alone receives signals, nothing is changed.
    """
    ends = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = [signal.signal(number, handler) for number in ends]
    try:
        yield
    finally:
        for number, old in zip(ends, before, strict=True):
            signal.signal(number, old)


def site(labelling: Labelling, key: str, unauthenticated: UnauthenticatedConnections) -> ASGIApp:
    """The application, behind its guard.

    Args:
        labelling: what the page does.
        key: what the address to open has, and begins a session with.
        unauthenticated: connections whose clients have no session.
    """
    token = Token(key)
    closed = Page("closed.html", __package__)
    requests = RateLimiter(_REQUESTS_A_SECOND, _REQUESTS_A_SECOND)
    guard = Guard(_Site(labelling).app, token, Hosts((), own=("localhost",)), requests, unauthenticated, closed)
    return _Opener(guard, token)


class _Opener:
    """Begins a session where the key is right; all else is for the guard.

    Args:
        app: the guard.
        token: the key.
    """

    def __init__(self, app: ASGIApp, token: Token) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the printed address, or hand the request on."""
        if scope["type"] != "http" or scope["path"] != OPEN or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        verdict = self._token.verify(request.query_params.get("key", ""), address_of(request))
        if verdict == "right":
            response: Response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, self._token.session(), SESSION_S, httponly=True, samesite="strict")
        else:
            response = PlainTextResponse("Open the address that `edge-fer lab clips label` printed last.\n", 401)
        response.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        await response(scope, receive, send)


class _Site:
    """Answers requests that the guard lets through.

    Args:
        labelling: what the page does.

    Attributes:
        app: the ASGI application.
    """

    def __init__(self, labelling: Labelling) -> None:
        self._labelling = labelling
        self._page = Page("page.html", __package__)
        flags = {key: FLAG_NAMES[name] for key, name in FLAGS.items()}
        self._html = self._page.html(title=labelling.title, labels=json.dumps(LABELS), flags=json.dumps(flags))
        self.app = Starlette(
            routes=[
                Route("/", self._show_page),
                Route("/clips", self._clips),
                Route("/clips/{clip:int}", self._clip),
                Route("/clips/{clip:int}/frames/{frame:int}", self._frame),
                Route("/clips/{clip:int}/keys", self._press, methods=["POST"]),
            ],
            exception_handlers={EdgeFerError: _told},
        )

    async def _show_page(self, request: Request) -> Response:
        return HTMLResponse(self._html, headers={"Content-Security-Policy": self._page.policy})

    async def _clips(self, request: Request) -> Response:
        return JSONResponse(self._labelling.overview())

    async def _clip(self, request: Request) -> Response:
        index = request.path_params["clip"]
        state = await run_in_threadpool(self._labelling.clip, index)
        return JSONResponse(state, background=BackgroundTask(_quietly_prefetch, self._labelling, index))

    async def _frame(self, request: Request) -> Response:
        numbers = request.path_params["clip"], request.path_params["frame"]
        return Response(await run_in_threadpool(self._labelling.jpeg, *numbers), media_type="image/jpeg")

    async def _press(self, request: Request) -> Response:
        if request.headers.get("content-type") != _JSON:
            return PlainTextResponse(f"expected {_JSON}\n", 415)
        content = await _body(request)
        if not isinstance(content, dict) or not isinstance(content.get("key"), str):
            return PlainTextResponse("expected a key and a frame\n", 400)
        frame = content.get("frame")
        if not isinstance(frame, int):
            return PlainTextResponse("expected the number of a frame\n", 400)
        answer = await run_in_threadpool(self._labelling.press, request.path_params["clip"], content["key"], frame)
        return JSONResponse(answer)


async def _body(request: Request) -> Any:
    """A body that is JSON and not too long; None where it is not."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


async def _told(_: Request, error: Exception) -> Response:
    """What went wrong, for the person at the page."""
    return JSONResponse({"error": str(error)}, 404 if isinstance(error, SourceError) else 500)


def _quietly_prefetch(labelling: Labelling, index: int) -> None:
    """Decode the next clip; what is wrong with it is told when it is opened."""
    try:
        labelling.prefetch(index)
    except EdgeFerError as error:
        _log.info("the next clip could not be decoded ahead: %s", error)
