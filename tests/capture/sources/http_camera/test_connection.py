"""What a camera answers instead of pictures is told as what it is, and what to do about it."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge_fer.capture.sources.http_camera.address import Login
from edge_fer.capture.sources.http_camera.connection import MAX_REDIRECTS, Connection
from edge_fer.capture.sources.http_camera.login import digest_header
from tests.support.certificates import Certificates
from tests.support.scripted_http import ScriptedHttp, ok, refuse

PASSWORD = "hunter2:@/"
LOGIN = "admin:hunter2%3A%40%2F@"


def ask(server: ScriptedHttp, path: str = "/", login: str = "", **more: object) -> bytes:
    connection = Connection(server.url(path, login), 5.0, **more)
    body = connection.get().read()
    connection.close()
    return body


def refused(answer, login: str = "") -> str:
    """The error's text for an answer."""
    with ScriptedHttp({"*": answer}) as server, pytest.raises(OSError, match="it ") as caught:
        ask(server, login=login)
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "login", "expected"),
    [
        (refuse(401), "", r"^it answers 401 Unauthorized: it wants a user and a password; name them in the address"),
        (refuse(401), LOGIN, r"^it answers 401 Unauthorized to the user and the password of the address; check.*%40"),
        (refuse(401, "WWW-Authenticate: NTLM"), LOGIN, r"^it answers 401 .* of a kind that is not known; set basic"),
        (refuse(403), "", r"^it answers 403 Forbidden; see .* what this user may see"),
        (refuse(404), "", r"^it answers 404 Not Found; check the path"),
        (refuse(503), "", r"^it answers 503 Service Unavailable; close other viewers"),
        (refuse(500), "", r"^it answers 500 Internal Server Error$"),
        (refuse(799), "", r"^it answers 799$"),
        (refuse(204), "", r"^it answers 204 No Content$"),
        (refuse(302), "", r"^it answers 302 Found$"),
        (refuse(302, "Location: file:///etc/passwd"), "", r"^it redirects to an address that is none of http; name"),
        (refuse(302, "Location: /"), "", rf"^it redirects more than {MAX_REDIRECTS} times; name the final address$"),
        (b"SSH-2.0-OpenSSH\r\n", "", r"^it does not answer in HTTP \(BadStatusLine\)$"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000, "", r"^it does not answer in HTTP \(HTTPException\)$"),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000, "", r"^it does not answer in HTTP \(LineTooLong\)$"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_as_what_it_is(answer, login, expected):
    assert re.search(expected, refused(answer, login))


def test_a_server_that_closes_without_an_answer_is_told():
    with ScriptedHttp({"*": b""}) as server, pytest.raises(OSError, match="closed connection without response"):
        ask(server)


def test_a_host_that_is_not_known_is_told(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(OSError, match=r"^no host of this name is known; check it; in a password, percent-encode @"):
        Connection("http://camera/", 5.0).get()


@pytest.mark.parametrize("address", ["http://u:hunter2/w@host/", "http://u:hunter2@host:x/", "http://[u:hunter2@host/"])
def test_an_address_that_is_none_is_told_without_its_password(address):
    with pytest.raises(
        OSError, match=r"^it is no address such as http://HOST/PATH; in a password, percent-encode"
    ) as caught:
        Connection(address, 5.0)
    assert "hunter2" not in str(caught.value)


def basic(request: str, connection: socket.socket) -> bool:
    wanted = "Authorization: Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    answer = ok("image/jpeg", b"seen") if wanted in request else refuse(401, 'WWW-Authenticate: Basic realm="cam"')
    connection.sendall(answer)
    return False


def digest(request: str, connection: socket.socket) -> bool:
    """Checks the response as a camera would, from what the header says."""
    sent = dict(re.findall(r'(\w+)="?([^",\r]+)', request.partition("Authorization: Digest ")[2]))
    asked = {"realm": "cam", "nonce": "abc", "qop": "auth"}
    login = Login("admin", PASSWORD)
    wanted = digest_header(login, asked, "/stream?a=1", int(sent.get("nc", "0"), 16), sent.get("cnonce", ""))
    if sent and f'response="{sent["response"]}"' in wanted and sent["uri"] == "/stream?a=1":
        connection.sendall(ok("image/jpeg", b"seen"))
    else:
        connection.sendall(refuse(401, 'WWW-Authenticate: Digest realm="cam", nonce="abc", qop="auth"'))
    return False


@pytest.mark.parametrize("kind", [basic, digest])
def test_user_and_password_are_sent_when_asked_for(kind):
    with ScriptedHttp({"*": kind}) as server:
        assert ask(server, "/stream?a=1", LOGIN) == b"seen"
        assert len(server.requests) == 2
        assert "Authorization" not in server.requests[0]
        with pytest.raises(OSError, match="it answers 401"):
            ask(server, "/stream?a=1", "admin:wrong@")
        assert len(server.requests) == 4, "a wrong password is tried once: cameras lock out who guesses"


def test_redirects_are_followed_with_the_login_for_the_same_server_only():
    with ScriptedHttp({"*": refuse(401, "WWW-Authenticate: Basic")}) as other:
        answers = {
            "/a": refuse(301, "Location: b?c=d"),
            "/b": basic,
            "/away": refuse(307, f"Location: {other.url('/b')}"),
        }
        with ScriptedHttp(answers) as server:
            assert ask(server, "/a", LOGIN) == b"seen"
            with pytest.raises(
                OSError, match=r"^it answers 401 Unauthorized \(redirected to http://127.*: it wants a user"
            ):
                ask(server, "/away", LOGIN)
        assert other.requests
        assert not any("Authorization" in one for one in other.requests)


def test_a_connection_is_kept_for_the_next_request_and_opened_again_when_it_is_gone():
    body = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nseen"

    def answer(request, connection):
        connection.sendall(body.encode())
        return "stay" in request

    with ScriptedHttp({"*": answer}) as server:
        for path, connections in (("/stay", 1), ("/go", 5)):
            connection = Connection(server.url(path), 5.0)
            for _ in range(4):
                assert connection.get().read() == b"seen"
            assert server.connections == connections
            connection.close()


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def tls_server(certificates, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path(f"{name}.crt"), certificates.path(f"{name}.key"))
    return ScriptedHttp({"*": ok("image/jpeg", b"seen")}, context)


@pytest.mark.parametrize(
    ("name", "ca_file", "expected"),
    [
        ("broker", None, r"certificate is not trusted \(.*\); save .* in capture\.ca_file, see docs/cameras\.md"),
        ("ca", None, r"certificate is not trusted \(self.signed certificate\); save"),
        ("broker", "other_ca.crt", r"certificate is not trusted"),
        ("elsewhere", "ca.crt", r"certificate is not trusted \(IP address mismatch, .*127\.0\.0\.1'\); save"),
        ("broker", "ca.crt", None),
        ("elsewhere", "elsewhere.crt", None),
        ("ca", "ca.crt", None),
        ("broker", "ca.key", r"^no certificates: .*ca\.key: none; name a PEM file in capture\.ca_file$"),
        ("broker", "missing", r"^no certificates: .*missing: No such file or directory; name a PEM file in"),
    ],
)
def test_a_certificate_must_be_signed_or_known(certificates, name, ca_file, expected):
    chosen = None if ca_file is None else str(certificates.path(ca_file))
    with tls_server(certificates, name) as server:
        if expected is None:
            assert ask(server, ca_file=chosen) == b"seen"
        else:
            with pytest.raises(OSError, match=expected):
                ask(server, ca_file=chosen)
            assert not server.requests, "nothing is sent to a stranger"


def test_a_server_without_tls_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        asked = pool.submit(lambda: Connection(f"https://127.0.0.1:{server.getsockname()[1]}/", 5.0).get())
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(OSError, match=r"^no TLS is spoken there \(wrong version number\); use http"):
                asked.result(5.0)


def test_a_server_that_accepts_and_never_shakes_hands_costs_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with pytest.raises(OSError, match=r"^it does not answer within 0\.1 s$"):
            Connection(f"https://127.0.0.1:{server.getsockname()[1]}/", 0.1).get()
        assert time.monotonic() - began < 5.0
