"""In front of the app: who may ask is let through, and every answer is told to be careful."""

from __future__ import annotations

from math import ceil
from typing import Literal

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_fer.publish.http.page import Page
from edge_fer.publish.http.protocol import LONGEST_HEAD
from edge_fer.publish.http.security import Hosts, Limiter, Token, UnauthenticatedConnections, Verdict

LOGIN = "/login"
COOKIE = "edge_fer_session"

LONGEST_BODY = 8192
"""Of a request, bytes: more than the longest token, and all that anybody has to send."""

_CAREFUL = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware that refuses what the app should not see.

    Without the token the answer is 401 and nothing else, for any path and method, or 429 after too many wrong ones;
    only `LOGIN` takes one in a form.

    Args:
        app: what is guarded.
        token: what a client must know; null: nothing.
        hosts: names by which the box may be called.
        requests: how often a client may ask.
        unauthenticated: connections that have not shown the token.
        login: shown to a browser that must log in.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: Token | None,
        hosts: Hosts,
        requests: Limiter,
        unauthenticated: UnauthenticatedConnections,
        login: Page,
    ) -> None:
        self._app, self._token, self._hosts, self._requests = app, token, hosts, requests
        self._unauthenticated, self._login = unauthenticated, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the app do it."""
        client = HTTPConnection(scope)
        app = self._refusal(client) or self._app

        async def send_carefully(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in _CAREFUL.items():
                    headers.setdefault(name, value)
                if _body_length(client.headers) != 0:
                    headers["Connection"] = "close"  # what is left of the body is not waited for
            await send(message)

        await app(scope, receive, send_carefully)

    def _refusal(self, client: HTTPConnection) -> Response | None:
        """Why a request is not answered; null where it is."""
        logs_in = client.scope["path"] == LOGIN and client.scope.get("method") == "POST"
        verdict = "right" if self._token is None else _judge(self._token, client)
        if verdict == "right":
            if client.client is not None:
                self._unauthenticated.discard(client.client)
        elif not logs_in:
            return self.unauthorised(client, verdict)
        refusal = self._misfit(client, logs_in=logs_in)
        return refusal if refusal is None or verdict == "right" else self.unauthorised(client, verdict)

    def _misfit(self, client: HTTPConnection, *, logs_in: bool) -> Response | None:
        """What is wrong with a request, whoever sent it."""
        if not self._hosts.is_allowed(client.headers.get("host", "")):
            return _plain(421, "this box is not known by that name; see publish.http.hosts")
        if _is_foreign(client, logs_in=logs_in):
            return _plain(403, "a page of another origin may not ask this")
        if not self._requests.count(address_of(client)):
            return _plain(429, "too many requests", {"Retry-After": "1"})
        if _body_length(client.headers) > LONGEST_BODY:
            return _plain(413, f"expected a body of {LONGEST_BODY} bytes at most")
        # What comes all at once, uvicorn takes in one piece.
        if sum(len(name) + len(value) for name, value in client.headers.raw) > LONGEST_HEAD:
            return _plain(431, f"expected headers of {LONGEST_HEAD} bytes at most")
        return None

    def unauthorised(self, client: HTTPConnection, verdict: Literal[Verdict, "missing"]) -> Response:
        """What a client gets that does not know the token: a form where it is a browser.

        Args:
            client: who it is.
            verdict: on the token that it gave.
        """
        status, headers, problem = 401, {"WWW-Authenticate": 'Bearer realm="edge-fer"'}, ""
        if verdict == "wrong":
            problem = "That is not the token."
        elif verdict == "too_soon" and self._token is not None:
            seconds = max(ceil(self._token.wait_s(address_of(client))), 1)
            status, headers = 429, {"Retry-After": str(seconds)}
            problem = f"Too many wrong tokens came from your address: wait for {seconds} s."
        if "text/html" not in client.headers.get("accept", ""):
            return _plain(status, problem or "expected the token of this box", headers)
        headers["Content-Security-Policy"] = self._login.policy
        return HTMLResponse(self._login.html(problem=problem), status, headers)


def _judge(token: Token, client: HTTPConnection) -> Literal[Verdict, "missing"]:
    session = client.cookies.get(COOKIE)
    if session is not None and token.is_session(session):
        return "right"
    scheme, _, given = client.headers.get("authorization", "").partition(" ")
    return token.judge(given.strip(), address_of(client)) if scheme.lower() == "bearer" else "missing"


def address_of(client: HTTPConnection) -> str:
    """Where a client is."""
    return client.client.host if client.client is not None else ""


def _is_foreign(client: HTTPConnection, *, logs_in: bool) -> bool:
    """Whether a page of another origin asks; a link on one may lead here.

    Sources: RFC 6454 (`Origin`), W3C Fetch Metadata (`Sec-Fetch-*`).
    """
    headers, origin = client.headers, client.headers.get("origin")
    # Browsers send `null` with a form of a page that, as ours, tells nobody where it is.
    if origin is not None and not (origin == "null" and logs_in) and origin.partition("://")[2] != headers.get("host"):
        return True
    is_link = headers.get("sec-fetch-mode") == "navigate" and client.scope.get("method") == "GET"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_link


def _body_length(headers: Headers) -> int:
    """Bytes of a request's body; 1 where it is not told before, as whoever reads it counts."""
    return 1 if "transfer-encoding" in headers else int(headers.get("content-length", "0"))


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, headers)
