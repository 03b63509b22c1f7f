from __future__ import annotations

import logging
import re
import socket
import string
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from edge_fer.common.unauthenticated import UnauthenticatedConnections
from edge_fer.errors import ConfigError
from edge_fer.publish.http import check, open_sink
from edge_fer.publish.http.limits import Limits
from edge_fer.publish.http.security import (
    SESSION_S,
    Hosts,
    Token,
    own_names,
    read_token,
)
from edge_fer.publish.http.sink import HttpSink
from edge_fer.settings import HttpSettings, PrivacySettings, load_settings
from tests.support.http_site import BEARER, TOKEN, ask, is_cut_off, raw, serving, settings_with, streaming, write_token
from tests.support.records import make_face_reading, make_reading, make_status
from tests.support.waiting import wait_until

PATHS = ("/", "/healthz", "/metrics", "/readings", "/schema", "/live", "/login", "/logout")
LOGIN = b"POST /login HTTP/1.1\r\nHost: localhost\r\n"
STREAM = b"GET /readings HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Errors(logging.Handler):
    """What the server says went wrong."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HttpSink, HttpSink, Errors]]:
    """One open, one locked, and the errors of both."""
    errors = Errors()
    logging.getLogger().addHandler(errors)
    token = write_token(tmp_path_factory.mktemp("fuzz"))
    with serving(live=True, rate=10_000) as sink, serving(live=True, rate=10_000, token_file=token) as locked:
        yield sink, locked, errors
    logging.getLogger().removeHandler(errors)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[HttpSink]:
    """A site that wants a token."""
    with serving(token_file=write_token(tmp_path), live=True) as sink:
        yield sink


# ---- The token


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_whoever_does_not_know_the_token_gets_401_and_nothing_else(
    sites: tuple[HttpSink, HttpSink, Errors], method: str
) -> None:
    for path in (*PATHS, "/nothing", "/../etc/passwd", "//evil"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"},
                        {"Host": "evil.example"}, {"Cookie": "edge_fer_session=99999999999.00"},
                        {"Cookie": "edge_fer_session=\xe4.\xe4"}, {"Authorization": "Bearer \xe4"}):  # fmt: skip
            answer = ask(sites[1], path, method, headers)
            assert b"drone-7" not in answer.body
            gives_one = headers.get("Authorization", "").startswith("Bearer") or (method, path) == ("POST", "/login")
            if gives_one and answer.status == 429:
                continue  # it has guessed too often
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_web_socket_without_the_token_is_refused(locked: HttpSink) -> None:
    address = f"ws://127.0.0.1:{locked.port}/readings"
    with pytest.raises(InvalidStatus) as refused:
        connect(address)
    assert refused.value.response.status_code == 401
    with connect(address, additional_headers=BEARER) as client:
        assert "edge-fer/health/1" in str(client.recv(5))


def test_the_token_opens_all(locked: HttpSink) -> None:
    locked.publish(make_status(), None)
    locked.publish(make_reading(), None)
    for path in ("/", "/healthz", "/metrics", "/schema"):
        assert ask(locked, path, headers=BEARER).status == 200
    with streaming(locked, "/readings", BEARER) as response:
        assert response.status == 200


def test_a_browser_logs_in_with_a_form_and_keeps_a_cookie(locked: HttpSink) -> None:
    form = ask(locked, "/", headers={"Accept": "text/html"})
    assert form.status == 401
    assert b'<form method="post" action="/login">' in form.body
    posted = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    posted["Origin"] = f"http://127.0.0.1:{locked.port}"
    wrong = ask(locked, "/login", "POST", posted, b"token=wrong")
    assert wrong.status == 401
    assert b"That is not the token" in wrong.body
    right = ask(locked, "/login", "POST", posted, f"token={quote(TOKEN)}".encode())
    assert (right.status, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert f"Max-Age={SESSION_S}" in cookie
    session = {"Cookie": cookie.partition(";")[0]}
    assert ask(locked, "/", headers=session).status == 200
    assert ask(locked, "/login", headers=session).status == 303
    left = ask(locked, "/logout", "POST", session)
    assert left.status == 204
    assert 'edge_fer_session=""' in left.headers["set-cookie"]
    assert ask(locked, "/schema", headers=session).status == 401, "a copy of the cookie is worth nothing"


@pytest.mark.parametrize("origin", ["null", "http://evil.example"])
def test_a_page_of_another_cannot_use_up_the_wrong_tokens_of_the_owner(locked: HttpSink, origin: str) -> None:
    foreign = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin}
    for _ in range(20):
        assert ask(locked, "/login", "POST", foreign, b"token=wrong").status == 401
    assert ask(locked, "/schema", headers=BEARER).status == 200
    assert b"edge_fer_http_refused_tokens_total 0.0" in ask(locked, "/metrics", headers=BEARER).body


def test_a_session_ends_and_cannot_be_made_up() -> None:
    now = [1e9]
    token = Token(TOKEN, lambda: now[0])
    session = token.session()
    assert token.is_session(session)
    end, _, signature = session.partition(".")
    assert not token.is_session(f"{int(end) + 1}.{signature}")
    assert not Token("another-token-of-16", lambda: now[0]).is_session(session)
    for made_up in ("", ".", "1.", f"{end}.", f"ä.{signature}", "999999999999.00"):
        assert not token.is_session(made_up)
    now[0] += SESSION_S
    assert not token.is_session(session)


@pytest.mark.slow
def test_a_session_that_was_ended_stays_ended_and_others_go_on() -> None:
    now = [1e9]
    token = Token(TOKEN, lambda: now[0])
    ended, other = token.session(), token.session()
    assert ended != other
    token.end_session(ended)
    token.end_session("made.up")
    assert not token.is_session(ended)
    assert token.is_session(other)
    for _ in range(3000):
        token.end_session(token.session())
    assert len(token._ended) <= 1024
    now[0] += SESSION_S
    token.end_session(token.session())
    assert len(token._ended) == 1, "those that have run out are forgotten"


def test_guessing_is_slow_counted_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    token = Token(TOKEN, lambda: now[0])
    assert [token.verify("wrong", "10.0.0.9") for _ in range(10)] == ["wrong"] * 10
    assert token.verify(TOKEN, "10.0.0.9") == "too_soon", "nothing is looked at for a while"
    assert token.wait_s("10.0.0.9") == 1
    assert token.verify(TOKEN, "10.0.0.8") == "right", "from elsewhere it is"
    assert token.refused == 11
    now[0] += 59
    assert token.verify(TOKEN, "10.0.0.9") == "right"
    assert [record.getMessage() for record in caplog.records] == [
        "http: refused a token from 10.0.0.9; refused since the last such warning, from anywhere: 1"
    ]
    now[0] += 1
    token.verify("wrong", "10.0.0.7")
    assert caplog.records[1].getMessage() == (
        "http: refused a token from 10.0.0.7; refused since the last such warning, from anywhere: 11"
    )


def test_who_guessed_too_often_is_told_to_wait(locked: HttpSink) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    answers = [ask(locked, "/schema", headers=wrong) for _ in range(12)]
    assert [answer.status for answer in answers[:10]] == [401] * 10
    assert (answers[-1].status, answers[-1].headers["retry-after"]) == (429, "1")
    assert answers[-1].body == b"Too many wrong tokens came from your address: wait for 1 s.\n"
    form = ask(locked, "/login", "POST", {"Accept": "text/html"}, f"token={TOKEN}".encode())
    assert form.status == 429
    assert b"wait for 1 s." in form.body
    assert ask(locked, "/schema").status == 401, "who gives none is not told to wait"
    wait_until(lambda: ask(locked, "/schema", headers=BEARER).status == 200)
    metrics = ask(locked, "/metrics", headers=BEARER).body.decode()
    refused = next(line for line in metrics.splitlines() if line.startswith("edge_fer_http_refused_tokens_total"))
    assert float(refused.split()[1]) >= 13


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (TOKEN, 0o604, "readable by everybody; chmod o-rwx"),
        ("short", 0o600, "16 to 4096 characters in .*, found 5"),
        ("x" * 5000, 0o600, "16 to 4096 characters"),
    ],
)
def test_a_token_that_is_none_is_told(tmp_path: Path, text: str, mode: int, words: str) -> None:
    chosen = HttpSettings(enabled=True, port=0, token_file=write_token(tmp_path, text, mode))
    with pytest.raises(ConfigError, match=words):
        check(settings_with(chosen))
    with pytest.raises(ConfigError, match=words):
        open_sink(settings_with(chosen))


def test_a_missing_token_is_told_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file or directory; make one: .*openssl rand"):
        check(settings_with(HttpSettings(enabled=True, token_file=tmp_path / "none")))
    assert read_token(None) is None


def test_another_address_needs_a_token() -> None:
    flags = {"publish.http.enabled": True, "publish.http.address": "0.0.0.0"}
    with pytest.raises(ConfigError, match=r"address 0\.0\.0\.0 is open to others: expected a token_file, found none"):
        load_settings(environment={}, flags=flags)
    assert load_settings(environment={}, flags={**flags, "publish.http.address": "::1"}).publish.http.address == "::1"
    with pytest.raises(ConfigError, match="expected an IP address"):
        load_settings(environment={}, flags={**flags, "publish.http.address": "drone.local"})


# ---- Pages of other origins


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[", "evil.example:80", "localhost.evil"]
)
def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    with serving() as sink:
        assert ask(sink, "/", headers={"Host": host}).status == 421


def test_our_own_names_are_known() -> None:
    hosts = Hosts(["Drone.Example."])
    for name in ("127.0.0.1:8080", "[::1]:8080", "192.168.1.9", "localhost", "LOCALHOST:80", "drone.example:8080",
                 socket.gethostname(), f"{socket.gethostname().partition('.')[0]}.local"):  # fmt: skip
        assert hosts.is_allowed(name), name


def test_a_box_is_known_with_its_domain_and_without(tmp_path: Path) -> None:
    table = tmp_path / "hosts"
    table.write_text("127.0.0.1 localhost\n127.0.1.1 drone7.lab.example Drone7 # drone7 hidden\n::1 other.example\n")
    for own in ("drone7", "Drone7.example.org."):
        hosts = Hosts([], own_names(own, table))
        for name in ("drone7", "DRONE7.local", "drone7.lab.example:8080", own):
            assert hosts.is_allowed(name), (own, name)
        for name in ("other.example", "hidden", "example.org", "drone7.evil.example", "evil.example"):
            assert not hosts.is_allowed(name), (own, name)
    assert set(own_names("a", tmp_path / "none")) == {"a", "a.local"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Origin": "http://127.0.0.1:1", "Host": "127.0.0.1:1"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
def test_pages_of_others_may_link_and_nothing_more(
    sites: tuple[HttpSink, HttpSink, Errors], headers: dict[str, str], status: int
) -> None:
    assert ask(sites[0], "/", headers=headers).status == status


def test_a_page_of_another_cannot_open_a_web_socket() -> None:
    with serving() as sink, pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{sink.port}/readings", origin="http://evil.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403


def test_every_answer_has_security_headers(sites: tuple[HttpSink, HttpSink, Errors]) -> None:
    for path in ("/", "/healthz", "/nothing"):
        for sink in sites[:2]:
            headers = ask(sink, path, headers={"Accept": "text/html"}).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["cache-control"] == "no-store"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["server"] == "edge-fer", "and no more"


def test_the_notice_and_the_device_are_text_not_markup() -> None:
    with serving(PrivacySettings(notice="<script>alert(1)</script> & more")) as sink:
        body = ask(sink, "/").body
    assert b"&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in body
    assert b"{{" not in body


# ---- Limits


def test_too_many_requests_are_told_to_wait() -> None:
    with serving(rate=1) as sink:
        assert [ask(sink, "/schema").status for _ in range(3)] == [200, 200, 429]
        assert ask(sink, "/schema").headers["retry-after"] == "1"


def test_too_many_streams_are_refused_and_health_is_not() -> None:
    with serving(max_clients=2, live=True) as sink:
        with streaming(sink, "/readings") as first, streaming(sink, "/live") as second:
            assert (first.status, second.status) == (200, 200)
            for path in ("/readings", "/live"):
                answer = ask(sink, path)
                assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            with pytest.raises(InvalidStatus) as refused:
                connect(f"ws://127.0.0.1:{sink.port}/readings")
            assert refused.value.response.status_code == 503
            assert ask(sink, "/schema").status == 200
            assert ask(sink, "/readings", "HEAD").status == ask(sink, "/live", "HEAD").status == 200
        wait_until(lambda: b"edge_fer_http_streams 0.0" in ask(sink, "/metrics").body)
        with streaming(sink, "/readings") as again:
            assert again.status == 200


def test_too_many_connections_are_refused() -> None:
    with serving(limits=Limits(spare_connections=2, refusals=1), max_clients=1) as sink, ExitStack() as stack:
        idle = [stack.enter_context(raw(sink)) for _ in range(3)]
        assert ask(sink, "/schema").status == 503
        idle.append(stack.enter_context(raw(sink)))
        with raw(sink) as beyond:
            assert is_cut_off(beyond)
        for connection in idle:
            connection.close()
        wait_until(lambda: ask(sink, "/schema").status == 200)


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\ntoken=",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ntoken\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n",
        b"GET /schema HTTP/1.1\r\nHost: localhost\r\n\r\nGET /sch",
    ],
)
def test_who_takes_too_long_to_ask_is_cut_off(tmp_path: Path, request_: bytes) -> None:
    with (
        serving(limits=Limits(request_s=0.1), token_file=write_token(tmp_path)) as sink,
        raw(sink, request_) as connection,
    ):
        assert is_cut_off(connection)


UPGRADE = (
    b"GET /readings HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.mark.parametrize(
    "header",
    [b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"X: " + b"x" * 9000 + b"\r\n", b"\x7f: a\r\n"],
)
def test_an_upgrade_that_the_parser_rejects_ends_at_once(locked: HttpSink, header: bytes) -> None:
    with raw(locked, UPGRADE + header + b"\r\n") as connection:
        assert connection.recv(64).split(b" ")[1] in (b"400", b"401")
        assert is_cut_off(connection)


def test_many_refused_upgrades_of_which_nothing_is_read_keep_nobody_out(tmp_path: Path) -> None:
    limits = Limits(request_s=0.3, stalled_s=0.3, spare_connections=8, unauthenticated=4)
    with serving(max_clients=1, token_file=write_token(tmp_path), limits=limits) as sink, ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(raw(sink, UPGRADE + b"\r\n", buffer=1024))

        def is_let_in() -> bool:
            with suppress(ConnectionError):  # while all places are taken
                return ask(sink, "/schema", headers=BEARER).status == 200
            return False

        wait_until(is_let_in)


@pytest.mark.parametrize("pause", [False, True])
def test_a_broken_body_is_no_fault_of_the_server_and_no_wrong_token(
    pause: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    head = LOGIN + b"Transfer-Encoding: chunked\r\n\r\n1\r\nt\r\n"
    with serving(token_file=write_token(tmp_path)) as sink:  # one that has not warned yet, which it does seldom
        for bad in (b"zz\r\n", b"f" * 40 + b"\r\n", b"1\r\nab"):
            with raw(sink, head if pause else head + bad) as connection:
                if pause:
                    connection.sendall(bad)
                assert is_cut_off(connection)
    assert caplog.text == ""


def test_a_message_that_is_no_text_ends_its_web_socket(locked: HttpSink, caplog: pytest.LogCaptureFixture) -> None:
    with connect(f"ws://127.0.0.1:{locked.port}/readings", additional_headers=BEARER) as client:
        client.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed) as closed:
            list(iter(partial(client.recv, 5), None))
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert caplog.text == ""


def test_dripping_does_not_help() -> None:
    with serving(limits=Limits(request_s=0.2)) as sink, raw(sink, b"GET / HTTP/1.1\r\n") as connection:
        connection.settimeout(0.02)

        def drip() -> bool:
            try:
                connection.send(b"X")
                return connection.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        assert wait_until(drip)


def test_who_opens_many_connections_and_shows_no_token_keeps_nobody_out(tmp_path: Path) -> None:
    with serving(max_clients=1, token_file=write_token(tmp_path)) as sink, ExitStack() as stack:
        stream = stack.enter_context(streaming(sink, "/readings", BEARER))
        assert stream.status == 200
        idle = [stack.enter_context(raw(sink)) for _ in range(70)]
        wait_until(lambda: ask(sink, "/schema", headers=BEARER).status == 200)
        assert all(is_cut_off(connection) for connection in idle[: 70 - 32]), "the oldest"
        metrics = ask(sink, "/metrics", headers=BEARER).body.decode()
        ended = re.search(r"^edge_fer_http_ended_connections_total (.*)$", metrics, re.MULTILINE)
        assert ended is not None
        assert float(ended[1]) >= 70 - 32
        assert "edge_fer_http_streams 1.0" in metrics, "who has shown the token stays"


def test_many_who_show_the_token_may_come_at_once(tmp_path: Path) -> None:
    request_ = request_of("GET", "/readings", [*BEARER.items()], b"")
    patient = Limits(excess_check_s=2.0)  # a busy machine takes longer to read them all
    with serving(token_file=write_token(tmp_path), limits=patient) as locked, ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(raw(locked, request_))
        wait_until(lambda: b"edge_fer_http_streams 60.0" in ask(locked, "/metrics", headers=BEARER).body)
        assert b"edge_fer_http_ended_connections_total 0.0" in ask(locked, "/metrics", headers=BEARER).body


def test_without_a_token_no_connection_is_unauthenticated() -> None:
    with serving() as sink, ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(raw(sink))
        assert b"edge_fer_http_ended_connections_total 0.0" in ask(sink, "/metrics").body


def test_unauthenticated_connections_of_one_address_do_not_touch_another() -> None:
    ended: list[tuple[str, int]] = []
    unauthenticated = UnauthenticatedConnections(2)
    for client in (("a", 1), ("b", 1), ("a", 2)):
        unauthenticated.add(client, partial(ended.append, client))
    unauthenticated.discard(("b", 9))
    unauthenticated.close_excess("a")
    assert ended == []
    unauthenticated.add(("a", 3), partial(ended.append, ("a", 3)))
    for address in ("a", "b", "c"):
        unauthenticated.close_excess(address)
    assert (ended, unauthenticated.closed) == ([("a", 1)], 1)
    unauthenticated.discard(("a", 1))
    unauthenticated.discard(("a", 2))
    unauthenticated.add(("a", 4), partial(ended.append, ("a", 4)))
    unauthenticated.close_excess("a")
    assert ended == [("a", 1)]
    for client in (("a", 3), ("a", 4), ("b", 1)):
        unauthenticated.discard(client)
    assert not unauthenticated._open


def test_who_takes_nothing_of_what_it_asked_for_is_cut_off() -> None:
    crowd = make_reading(faces=(make_face_reading(),) * 32)
    with serving(limits=Limits(stalled_s=0.1), queue=4) as sink, raw(sink, STREAM, buffer=4096):
        wait_until(lambda: b"edge_fer_http_streams 1.0" in ask(sink, "/metrics").body)

        def served() -> bool:
            sink.publish(replace(crowd, frame=crowd.frame + 1), None)
            return b"edge_fer_http_streams 1.0" in ask(sink, "/metrics").body

        wait_until(lambda: not served())


def test_pings_that_nobody_hears_the_answers_of_pile_up_nowhere() -> None:
    shake = (b"GET /readings HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")  # fmt: skip
    pings = (b"\x89\xfd" + bytes(4) + bytes(125)) * 200_000  # 26 MB, far more than sockets hold
    with serving() as sink, raw(sink, shake, buffer=4096) as connection:
        connection.settimeout(0.5)
        assert connection.recv(12) == b"HTTP/1.1 101"
        with pytest.raises(TimeoutError):
            connection.sendall(pings)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 400_000 + b"\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 400_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (LOGIN + b"Content-Length: 9999999999\r\n\r\n", b"401"),
        (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n4000\r\n" + b"x" * 16_384, b"401"),
        (LOGIN + b"Content-Length: 999\r\n\r\n" + b"a=1&" * 249 + b"a=1", b"401"),
        (b"\x16\x03\x01\x02\x00", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
    ],
)  # fmt: skip
def test_what_is_too_large_or_malformed_is_refused(locked: HttpSink, request_: bytes, status: bytes) -> None:
    with raw(locked, request_) as connection:
        assert connection.recv(64).split(b" ")[1] == status


def test_a_body_of_two_lengths_ends_the_connection(sites: tuple[HttpSink, HttpSink, Errors]) -> None:
    """As RFC 9112, 6.1 has it: chunks count, and nothing after them is taken for a request."""
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    request_ = b"GET /schema HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw(sites[0], request_ + b"0\r\n\r\n" + smuggled) as connection, connection.makefile("rb") as answer:
        heard = answer.read()
    assert heard.startswith(b"HTTP/1.1 200")
    assert heard.count(b"HTTP/1.1") == 1
    assert b"\r\nconnection: close\r\n" in heard.lower()


def test_headers_that_come_all_at_once_are_measured_too(sites: tuple[HttpSink, HttpSink, Errors]) -> None:
    assert ask(sites[0], "/", headers={"X": "x" * 20_000}).status == 431
    assert ask(sites[0], "/", "POST", body=b"x" * 9000).status == 413
    assert ask(sites[1], "/", headers={"X": "x" * 20_000}).status == 401


# ---- Anything at all

METHODS = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "get", "X-Y"]
)
SEGMENT = st.one_of(
    st.sampled_from(["..", ".", "%2e%2e", "%00", "%ff", "%", "etc", "passwd", "page.html", "~", ";", "healthz", "*"]),
    st.text(string.ascii_letters + string.digits + "%._-~!$&'()*+,;=:@", max_size=12),
)
TARGETS = st.one_of(
    st.sampled_from([*PATHS, "*", "http://evil.example/", "//evil.example/", "/?", "/metrics?name[]=x", "/readings/"]),
    st.lists(SEGMENT, max_size=5).map(lambda parts: "/" + "/".join(parts)),
)
VALUE = st.text(string.printable.strip() + " \xe4\xff", max_size=60).map(str.strip)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Accept", "Accept-Encoding", "Authorization", "Cookie", "Origin", "Range", "Referer",
                         "If-None-Match", "Sec-Fetch-Site", "Sec-Fetch-Mode", "X-Forwarded-For", "Forwarded",
                         "Content-Type", "Last-Event-ID", "Expect", "TE", "X-HTTP-Method-Override"]),
        st.one_of(VALUE, st.sampled_from(["text/html", "Bearer", "Bearer ", "edge_fer_session=", "bytes=0-1",
                                          "edge_fer_session=1.a", "100-continue", "cross-site", "null"])),
    ),
    max_size=5,
)  # fmt: skip
BODIES = st.one_of(
    st.just(b""), st.binary(max_size=100), st.just(b"token=" + TOKEN.encode()), st.just(b"token=%ff&" * 40)
)


def status_of(sink: HttpSink, data: bytes) -> int | None:
    """The status that some bytes are answered with, once the answer is all read; null: cut off."""
    with raw(sink, data) as connection, connection.makefile("rb") as answer:
        line = answer.readline()
        while line.startswith(b"HTTP/1.1 100"):
            answer.readline()
            line = answer.readline()
        if not line:
            return None
        status, length = int(line.split(b" ")[1]), 0
        while (header := answer.readline().strip().lower()) != b"":
            if header.startswith(b"content-length:") and not data.startswith(b"HEAD"):
                length = int(header.partition(b":")[2])
        assert b"Traceback" not in answer.read(length)
        return status


def request_of(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """A request that is HTTP, whatever it asks."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "\r\n"]).encode("latin-1") + body


@settings(max_examples=150)
@given(METHODS, TARGETS, HEADERS, BODIES)
def test_no_request_breaks_it(
    sites: tuple[HttpSink, HttpSink, Errors],
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    body: bytes,
) -> None:
    sink, locked, errors = sites
    request_ = request_of(method, target, headers, body)
    status = status_of(sink, request_)
    assert status in (200, 400, 403, 404, 405, 413, 503), status
    if status == 503:
        assert target.partition("?")[0].endswith("healthz")
    status = status_of(locked, request_)
    logged_in = target == "/login" and method == "POST"
    assert status in ((401, 429, 303, 403, 400) if logged_in else (401, 429, 400)), status
    with_token = [(name, value) for name, value in headers if name != "Authorization"]
    status = status_of(locked, request_of(method, target, [*with_token, *BEARER.items()], body))
    assert status in (200, 204, 303, 400, 401, 403, 404, 405, 413, 429, 503), status
    assert errors.heard == []


@settings(max_examples=100)
@given(st.binary(min_size=1, max_size=300))
def test_no_bytes_break_it(sites: tuple[HttpSink, HttpSink, Errors], data: bytes) -> None:
    sink, _, errors = sites
    with raw(sink, data + b"\r\n\r\n") as connection:
        connection.settimeout(0.05)
        try:
            answer = connection.recv(4096)
        except (TimeoutError, ConnectionError):
            answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
    assert ask(sink, "/schema").status == 200
    assert errors.heard == []
