"""An HTTP server on loopback whose answers are written byte by byte, as no library would write them."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

Answer = bytes | Callable[[str, socket.socket], bool | None]
"""What is sent before the connection is closed; or a function of the request's head and the connection, which returns
whether the connection stays open for another request."""


def ok(content_type: str | None, body: bytes, *headers: str) -> bytes:
    """An answer with status 200; its end is the end of the connection.

    Args:
        content_type: null: none is stated.
        body: what follows the header.
        headers: more lines of the header.
    """
    lines = ["HTTP/1.1 200 OK", *([] if content_type is None else [f"Content-Type: {content_type}"]), *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def refuse(status: int, *headers: str) -> bytes:
    """An answer with another status, and no body."""
    return "\r\n".join([f"HTTP/1.1 {status} whatever", *headers, "Content-Length: 0", "", ""]).encode()


class ScriptedHttp:
    """Answers each path as it is told.

    Args:
        answers: for each path, without query, its answer; `*` stands for all others.
        tls: for https.

    Attributes:
        requests: the heads of all requests, in order.
        connections: how many connections there were.
    """

    def __init__(self, answers: Mapping[str, Answer], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self.connections = 0
        self._answers, self._tls = dict(answers), tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def url(self, path: str = "/", login: str = "") -> str:
        """The address of a path.

        Args:
            path: the path, and a query.
            login: such as `user:password@`.
        """
        return f"{'https' if self._tls else 'http'}://{login}127.0.0.1:{self.port}{path}"

    def __enter__(self) -> ScriptedHttp:
        return self

    def __exit__(self, *error: object) -> None:
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError):  # the reader, or this server, has gone
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                while self._answer(connection):
                    pass

    def _answer(self, connection: socket.socket) -> bool | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (piece := connection.recv(1)):
                return False
            head += piece
        request = head.decode()
        self.requests.append(request)
        path = request.split()[1].partition("?")[0]
        answer = self._answers.get(path) or self._answers["*"]
        if callable(answer):
            return answer(request, connection)
        connection.sendall(answer)
        return False
