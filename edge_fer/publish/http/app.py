"""The site: its paths and what each of them answers."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import parse_qs

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from edge_fer.common.rate_limiter import RateLimiter
from edge_fer.common.version import VERSION
from edge_fer.publish.http.guard import COOKIE, LOGIN, MAX_BODY_BYTES, Guard, address_of
from edge_fer.publish.http.hub import HEALTH
from edge_fer.publish.http.page import Page
from edge_fer.publish.http.security import SESSION_S, Hosts, Token
from edge_fer.publish.http.state import HttpState
from edge_fer.publish.http.streams import EventStream, Mjpeg, serve_web_socket
from edge_fer.schema import json_schema
from edge_fer.settings import HttpSettings

_BURST_S = 2.0


class Site:
    """Answers requests.

    Args:
        settings: what is served, and to which clients.
        state: what is shown.
        token: the secret that clients must know; None: they need none.
        device: the box's name.
        notice: the notice to the people who are filmed; empty: none.

    Attributes:
        app: the ASGI application, behind the guard.
    """

    def __init__(self, settings: HttpSettings, state: HttpState, token: Token | None, device: str, notice: str) -> None:
        self._state, self._token = state, token
        self._page = Page("page.html")
        self._html = self._page.html(
            device=device,
            notice=notice,
            version=VERSION,
            live=str(settings.live).lower(),
            login=str(token is not None).lower(),
        )
        self._guard = Guard(
            self._starlette(settings),
            token,
            Hosts(settings.hosts),
            RateLimiter(settings.rate, settings.rate * _BURST_S),
            state.unauthenticated,
            Page("login.html", notice=notice),
        )
        self.app: ASGIApp = self._guard

    def _starlette(self, settings: HttpSettings) -> Starlette:
        routes: list[Route | WebSocketRoute] = [
            Route("/", self._show_page),
            Route("/healthz", self._healthz),
            Route("/metrics", self._metrics),
            Route("/schema", self._schema),
            Route("/readings", self._readings),
            WebSocketRoute("/readings", self._readings_socket),
        ]
        if settings.live:
            routes.append(Route("/live", self._live))
        if self._token is not None:
            routes += [Route(LOGIN, self._log_in, methods=["GET", "POST"])]
            routes += [Route("/logout", self._log_out, methods=["POST"])]
        app = Starlette(routes=routes)
        app.router.redirect_slashes = False
        return app

    async def _show_page(self, request: Request) -> Response:
        return HTMLResponse(self._html, headers={"Content-Security-Policy": self._page.policy})

    async def _healthz(self, request: Request) -> Response:
        health = self._state.latest.health()
        return JSONResponse(HEALTH.dump_python(health, mode="json"), 200 if health.healthy else 503)

    async def _metrics(self, request: Request) -> Response:
        return Response(self._state.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def _schema(self, request: Request) -> Response:
        return JSONResponse({**json_schema(), "edge-fer/health/1": HEALTH.json_schema(mode="serialization")})

    async def _readings(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type=EventStream.media_type)
        return EventStream(self._state.hub, self._state.slots) if self._state.slots.available else _no_room()

    async def _readings_socket(self, socket: WebSocket) -> None:
        if self._state.slots.available:
            await serve_web_socket(self._state.hub, self._state.slots, socket)
        else:
            await _no_room()(socket.scope, socket.receive, socket.send)

    async def _live(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type=Mjpeg.media_type)
        return Mjpeg(self._state.live, self._state.slots) if self._state.slots.available else _no_room()

    async def _log_in(self, request: Request) -> Response:
        """Give a browser a cookie for the token, so that the token never appears in an address."""
        assert self._token is not None
        if request.method != "POST":
            return RedirectResponse("/", 303)
        try:
            given = await _token_in_form(request)
        except ClientDisconnect:  # in the middle of the form: it has given no token, not a wrong one
            return Response(status_code=400)
        verdict = self._token.verify(given.strip(), address_of(request))
        if verdict != "right":
            return self._guard.unauthorised(request, verdict)
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, self._token.session(), SESSION_S, httponly=True, samesite="strict")
        return response

    async def _log_out(self, request: Request) -> Response:
        assert self._token is not None
        self._token.end_session(request.cookies.get(COOKIE, ""))
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response


async def _token_in_form(request: Request) -> str:
    """The field `token` of a form; empty where there is none, or where the form is too long.

    Raises:
        ClientDisconnect: when the form is not sent to its end.
    """
    body = b""
    with suppress(ValueError):  # more fields than our form has
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                return ""
        return parse_qs(body.decode(errors="replace"), max_num_fields=8).get("token", [""])[0]
    return ""


def _no_room() -> Response:
    return PlainTextResponse("too many streams; see publish.http.max_clients\n", 503, {"Retry-After": "5"})
