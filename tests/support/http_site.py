"""A web site that is really served, and clients for it, for the tests of the HTTP sink."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from edge_fer.publish.http import open_sink
from edge_fer.publish.http.limits import DEFAULT_LIMITS, Limits
from edge_fer.publish.http.sink import HttpSink
from edge_fer.settings import HttpSettings, PrivacySettings, PublishSettings, Settings

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE_S = 5.0


def write_token(folder: Path, text: str = TOKEN, mode: int = 0o600) -> Path:
    """A token in a file."""
    path = folder / "token"
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def settings_with(http: HttpSettings, privacy: PrivacySettings | None = None, device: str = "drone-7") -> Settings:
    """Settings of a box with this site."""
    publish = PublishSettings(http=http)
    return Settings(device=device, publish=publish, privacy=privacy or PrivacySettings())


@contextmanager
def serving(
    privacy: PrivacySettings | None = None,
    device: str = "drone-7",
    limits: Limits = DEFAULT_LIMITS,
    **settings: Any,
) -> Iterator[HttpSink]:
    """A site on a free port."""
    chosen = HttpSettings(**{"enabled": True, "port": 0, **settings})
    sink = open_sink(settings_with(chosen, privacy, device), limits)
    assert isinstance(sink, HttpSink)
    try:
        yield sink
    finally:
        sink.close()


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


def ask(
    sink: HttpSink, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """Send one request and return its answer."""
    connection = HTTPConnection("127.0.0.1", sink.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


@contextmanager
def streaming(sink: HttpSink, path: str, headers: dict[str, str] | None = None) -> Iterator[HTTPResponse]:
    """An answer without an end."""
    connection = HTTPConnection("127.0.0.1", sink.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers=headers or {})
        yield connection.getresponse()
    finally:
        connection.close()


def events(response: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Server-sent events: their names and contents."""
    name = ""
    while line := response.readline().decode().rstrip("\n"):
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        else:
            assert field == "data"
            assert response.readline() == b"\n"
            yield name, json.loads(value)


@contextmanager
def raw(sink: HttpSink, data: bytes = b"", *, buffer: int | None = None) -> Iterator[socket.socket]:
    """A connection that sends just these bytes."""
    with socket.socket() as connection:
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(PATIENCE_S)
        assert sink.port is not None
        connection.connect(("127.0.0.1", sink.port))
        if data:
            connection.sendall(data)
        yield connection


def is_cut_off(connection: socket.socket) -> bool:
    """Whether the other side ends the connection, after the data that it had to send."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
