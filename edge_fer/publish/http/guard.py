"""In front of the app: requests that are not allowed are refused, and every answer gets security headers."""

from __future__ import annotations

from math import ceil
from typing import Literal

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_fer.common.rate_limiter import RateLimiter
from edge_fer.common.unauthenticated import UnauthenticatedConnections
from edge_fer.publish.http.page import Page
from edge_fer.publish.http.protocol import MAX_HEAD_BYTES
from edge_fer.publish.http.security import Hosts, Token, Verdict

LOGIN = "/login"
COOKIE = "edge_fer_session"

MAX_BODY_BYTES = 8192
"""Longest body of a request; the longest token fits into it, and nothing else is ever sent."""

_SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with `no-referrer` a browser hides the origin of our own form, too
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware that refuses what the app should not see.

    Without the token the answer is 401, for any path and method, or 429 after too many wrong tokens; only `LOGIN` takes
    a token in a form.

    Args:
        app: the application behind the guard.
        token: the secret that clients must know; None: they need none.
        hosts: the host names that requests may use.
        requests: limits how often a client may send requests.
        unauthenticated: connections whose clients have not shown the token.
        login: the page for a browser that must log in.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: Token | None,
        hosts: Hosts,
        requests: RateLimiter,
        unauthenticated: UnauthenticatedConnections,
        login: Page,
    ) -> None:
        self._app, self._token, self._hosts, self._requests = app, token, hosts, requests
        self._unauthenticated, self._login = unauthenticated, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or let the app answer it."""
        client = HTTPConnection(scope)
        app = self._refusal(client) or self._app

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if _body_length(client.headers) != 0:
                    headers["Connection"] = "close"  # the rest of the body is not waited for
            await send(message)

        await app(scope, receive, send_with_headers)

    def _refusal(self, client: HTTPConnection) -> Response | None:
        """The answer to a request that is refused; None where it is allowed."""
        logs_in = client.scope["path"] == LOGIN and client.scope.get("method") == "POST"
        verdict = "right" if self._token is None else _verify(self._token, client)
        if verdict == "right":
            if client.client is not None:
                self._unauthenticated.discard(client.client)
        elif not logs_in:
            return self.unauthorised(client, verdict)
        refusal = self._bad_request(client)
        return refusal if refusal is None or verdict == "right" else self.unauthorised(client, verdict)

    def _bad_request(self, client: HTTPConnection) -> Response | None:
        """The answer to a request that no client may send; None where the request is fine."""
        if not self._hosts.is_allowed(client.headers.get("host", "")):
            return _plain(421, "this box is not known by that name; see publish.http.hosts")
        if _is_foreign(client):
            return _plain(403, "a page of another origin may not ask this")
        if not self._requests.allow(address_of(client)):
            return _plain(429, "too many requests", {"Retry-After": "1"})
        if _body_length(client.headers) > MAX_BODY_BYTES:
            return _plain(413, f"expected a body of {MAX_BODY_BYTES} bytes at most")
        # uvicorn's own limit does not hold for a head that arrives in one piece.
        if sum(len(name) + len(value) for name, value in client.headers.raw) > MAX_HEAD_BYTES:
            return _plain(431, f"expected headers of {MAX_HEAD_BYTES} bytes at most")
        return None

    def unauthorised(self, client: HTTPConnection, verdict: Literal[Verdict, "missing"]) -> Response:
        """The answer to a client that has not given the token: a form where it is a browser.

        Args:
            client: the client's request.
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


def _verify(token: Token, client: HTTPConnection) -> Literal[Verdict, "missing"]:
    session = client.cookies.get(COOKIE)
    if session is not None and token.is_session(session):
        return "right"
    scheme, _, given = client.headers.get("authorization", "").partition(" ")
    return token.verify(given.strip(), address_of(client)) if scheme.lower() == "bearer" else "missing"


def address_of(client: HTTPConnection) -> str:
    """A client's IP address; empty where it is unknown."""
    return client.client.host if client.client is not None else ""


def _is_foreign(client: HTTPConnection) -> bool:
    """Whether a page of another origin sent the request; a link on such a page may lead here.

    Sources: RFC 6454 (`Origin`), W3C Fetch Metadata (`Sec-Fetch-*`).
    """
    headers, origin = client.headers, client.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        return True
    is_link = headers.get("sec-fetch-mode") == "navigate" and client.scope.get("method") == "GET"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_link


def _body_length(headers: Headers) -> int:
    """Bytes of a request's body; 1 where they are not known in advance: then whoever reads the body counts them."""
    return 1 if "transfer-encoding" in headers else int(headers.get("content-length", "0"))


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, headers)
