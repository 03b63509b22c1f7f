"""A labelling page that is really served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from edge_fer.lab.clips.frames import FrameCache
from edge_fer.lab.clips.labelling import Labelling
from edge_fer.lab.clips.site import LabellingServer
from tests.lab.clips.recordings import numbered, write_recording
from tests.support.http_site import Answer

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=timezone.utc)
JSON = {"Content-Type": "application/json"}


def write_clips(
    folder: Path, names: tuple[str, ...] = ("p01_001_happiness", "p01_002", "p02_001"), count: int = 20
) -> Path:
    """Clips with numbered frames."""
    for name in names:
        path = folder / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recording(path, [numbered(number) for number in range(count)])
    return folder


@contextmanager
def labelling(folder: Path, labeller: str | None = None, limit_mb: float = 100.0) -> Iterator[Labelling]:
    """What the page does, without the page."""
    with FrameCache(limit_mb) as cache, Labelling(folder, cache, labeller, now=lambda: NOW) as session:
        yield session


@contextmanager
def page(folder: Path, labeller: str | None = None) -> Iterator[LabellingServer]:
    """The page of these clips on a free port."""
    with labelling(folder, labeller) as session:
        server = LabellingServer(session, 0)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(10)
            assert not thread.is_alive()


def ask(
    server: LabellingServer, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
) -> Answer:
    """Send one request and return its answer."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, body or None, headers or {})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


def session_of(server: LabellingServer) -> dict[str, str]:
    """The header of somebody who has opened the printed address."""
    address = urlsplit(server.url)
    answer = ask(server, f"{address.path}?{address.query}")
    assert answer.status == 303
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
