"""The page's server: this machine only, only with the key, and no page of another origin can write marks."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_fer.errors import OutputError
from edge_fer.lab.clips.site import LabellingServer
from tests.lab.clips.pages import JSON, ask, page, session_of, write_clips

KEY = json.dumps({"key": "S", "frame": 3}).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), ("p01_001",), count=6)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LabellingServer]:
    with page(folder) as server:
        yield server


@pytest.fixture(scope="module")
def session(server: LabellingServer) -> dict[str, str]:
    return session_of(server)


def listening(port: int) -> list[str]:
    """The addresses that listen at a port, as the kernel lists them."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, hexadecimal = local.rsplit(":", 1)
            if state == "0A" and int(hexadecimal, 16) == port:
                found.append(address)
    return found


def test_nothing_listens_beyond_loopback(server: LabellingServer) -> None:
    assert listening(server.port) == ["0100007F"]  # 127.0.0.1
    with socket.socket() as other:
        other.settimeout(2)
        assert other.connect_ex(("127.0.0.2", server.port)) != 0


def test_with_the_key_the_page_its_clips_and_frames_are_there(server: LabellingServer, session: dict[str, str]) -> None:
    answer = ask(server, "/", headers=session)
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert ask(server, "/clips", headers=session).json["clips"][0]["name"] == "p01_001"
    assert ask(server, "/clips/0", headers=session).json["frames"] == 6
    frame = ask(server, "/clips/0/frames/5", headers=session)
    assert frame.headers["content-type"] == "image/jpeg"
    assert frame.body.startswith(b"\xff\xd8")


@pytest.mark.parametrize("path", ["/", "/clips", "/clips/0", "/clips/0/frames/0", "/nothing"])
def test_without_the_key_nothing_is_there(server: LabellingServer, session: dict[str, str], path: str) -> None:
    for headers in ({}, {"Cookie": "edge_fer_session=1.2.3"}, {"Authorization": "Bearer guess"}):
        assert ask(server, path, headers={**headers, "Accept": "text/html"}).status in (401, 429)
    assert ask(server, "/open?key=guess").status == 401
    assert ask(server, "/open").status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},  # another page of this machine
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},  # a name that was made to point here
    ],
)
def test_a_page_in_another_tab_cannot_write(
    server: LabellingServer, session: dict[str, str], headers: dict[str, str]
) -> None:
    answer = ask(server, "/clips/0/keys", "POST", {**session, **JSON, **headers}, KEY)
    assert answer.status in (403, 421)
    assert ask(server, "/clips/0", headers=session).json["marks"]["start"] is None


def test_a_form_cannot_write(server: LabellingServer, session: dict[str, str]) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert ask(server, "/clips/0/keys", "POST", {**session, "Content-Type": kind}, KEY).status == 415
    assert ask(server, "/clips/0/keys", "GET", session).status == 405


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b"{}", 400), (b'{"key":1,"frame":1}', 400), (b'{"key":"S","frame":"1"}', 400),
     (b'{"key":"S"}', 400), (b"[" * 5000, 400), (b"x" * 9000, 413), (b'{"key":"S","frame":99}', 404),
     (b'{"key":"F","frame":0}', 404)],
)  # fmt: skip
def test_what_is_no_key_is_refused(server: LabellingServer, session: dict[str, str], body: bytes, status: int) -> None:
    assert ask(server, "/clips/0/keys", "POST", {**session, **JSON}, body).status == status


@pytest.mark.parametrize("path", ["/clips/1", "/clips/0/frames/6", "/clips/-1", "/clips/0/frames/..%2f..", "/clips/x"])
def test_what_is_not_there_is_not_found(server: LabellingServer, session: dict[str, str], path: str) -> None:
    assert ask(server, path, headers=session).status == 404


def test_a_port_that_is_taken_is_told(folder: Path, server: LabellingServer) -> None:
    from tests.lab.clips.pages import labelling

    with labelling(folder, "anna") as session, pytest.raises(OutputError, match="choose another one: --port 0"):
        LabellingServer(session, server.port)


def test_the_key_is_another_one_at_each_start(folder: Path, server: LabellingServer, session: dict[str, str]) -> None:
    with page(folder, "anna") as other:
        assert other.url.partition("key=")[2] != server.url.partition("key=")[2]
        assert ask(other, "/clips", headers=session).status == 401
