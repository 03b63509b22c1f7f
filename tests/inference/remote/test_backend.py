"""The client's end, against a server that does everything wrong, and against the real one."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fer.common.backoff import Backoff
from edge_fer.common.tls import client_context, server_context
from edge_fer.errors import BackendError, ConfigError
from edge_fer.inference import TensorSpec
from edge_fer.inference.fake import FakeBackend
from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.backend import RemoteBackend, RemoteOptions
from edge_fer.inference.remote.connection import Server
from edge_fer.inference.remote.messages import Answer, Cause, Refusal
from edge_fer.inference.remote.reconnecting import Reconnecting
from tests.support.certificates import Certificates
from tests.support.debian import need_debian
from tests.support.face_server import TOKEN, FaceServer, network_of, serving
from tests.support.scripted_server import greet, receive, scripted

FACE = TensorSpec("face", (4, 4), np.dtype(np.uint8))
LOGITS = TensorSpec("logits", (1, 7), np.dtype(np.int8), 0.25, 0)
MODEL = "ab" * 32
ZEROS = np.zeros((4, 4), np.uint8)
ANSWER = np.arange(7, dtype=np.int8).reshape(1, 7)
QUICK = RemoteOptions(deadline_s=0.15, connect_s=0.3)
PATIENT = RemoteOptions(deadline_s=20.0, connect_s=20.0)


def answering(*replies: Callable[[int], bytes]) -> Callable[[socket.socket], None]:
    """Shakes hands, and replies to each request in turn, given its sequence; silent afterwards."""

    def run(connection: socket.socket) -> None:
        greet(connection, (FACE,), (LOGITS,))
        for reply in replies:
            request = receive(connection)
            connection.sendall(reply(int.from_bytes(request[:4], "big")))
        while receive(connection):
            pass

    return run


def right(sequence: int) -> bytes:
    return protocol.answer(Answer(sequence, 0.002, (ANSWER,)))


def connect(server: Server, options: RemoteOptions = PATIENT, model: str = MODEL) -> RemoteBackend:
    return RemoteBackend(server, model, "faces", options)


def test_it_is_a_backend_with_the_servers_network() -> None:
    with scripted(answering(right, right)) as server, connect(server) as backend:
        assert (backend.name, backend.device) == (f"remote:{server}", "cpu")
        assert (backend.inputs, backend.outputs) == ((FACE,), (LOGITS,))
        for _ in range(2):
            (values,) = backend.infer(ZEROS)
            np.testing.assert_array_equal(values, ANSWER)
        assert backend.spent_s == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (lambda number: right(number + 1), "expected the answer to request 1, found that to 2"),
        (lambda number: b"HTTP/1.1 200 OK\r\n\r\n", "expected a message of edge-fer's protocol, found b'HTTP/1.1 200'"),
        (lambda number: protocol.answer(Answer(number, 0, (ANSWER[:, :3],))), "expected 15 bytes, found 11"),
        (lambda number: right(number)[:8] + b"\x7f" * 4, "expected a message of at most"),
        (lambda number: protocol.greeting(bytes(32)), "expected answer or refusal, found greeting"),
        (
            lambda number: protocol.refusal(Refusal(number, Cause.AWAY, "edgetpu:usb:0 is away: unplugged")),
            "found: edgetpu:usb:0 is away: unplugged$",
        ),
    ],
)
def test_a_wrong_answer_is_an_error_in_one_line_and_ends_the_connection(
    reply: Callable[[int], bytes], words: str
) -> None:
    with scripted(answering(reply, right)) as server, connect(server) as backend:
        with pytest.raises(BackendError, match=words) as caught:
            backend.infer(ZEROS)
        assert "\n" not in str(caught.value)
        with pytest.raises(BackendError):
            backend.infer(ZEROS)


def test_silence_ends_with_the_deadline() -> None:
    with scripted(answering()) as server, connect(server, QUICK) as backend:
        started = time.monotonic()
        with pytest.raises(BackendError, match=r"expected an answer of the server at .* within 150 ms, found none"):
            backend.infer(ZEROS)
        assert time.monotonic() - started < 5


def test_drops_of_an_answer_do_not_lengthen_the_deadline() -> None:
    def trickle(connection: socket.socket) -> None:
        greet(connection, (FACE,), (LOGITS,))
        receive(connection)
        for value in right(1):
            connection.sendall(bytes([value]))
            if receive_is_over.wait(0.05):
                return

    receive_is_over = threading.Event()
    with scripted(trickle) as server, connect(server, QUICK) as backend:
        with pytest.raises(BackendError, match="within 150 ms"):
            backend.infer(ZEROS)
        receive_is_over.set()


def test_a_server_that_hangs_up_is_told() -> None:
    found = r"to hold, found: (connection closed|connection reset by peer)"
    with (
        scripted(lambda connection: greet(connection, (FACE,), (LOGITS,))) as server,
        connect(server) as backend,
        pytest.raises(BackendError, match=found),
    ):
        backend.infer(ZEROS)


def silent(connection: socket.socket) -> None:
    receive(connection)


def of_another_version(connection: socket.socket) -> None:
    message = bytearray(protocol.greeting(bytes(32)))
    message[4] += 1
    connection.sendall(bytes(message))
    receive(connection)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (silent, "expected an answer of the server .* within .* ms, found none; if serve.tls is on there"),
        (of_another_version, "expected version 1 of the protocol, found version 2; install the same version"),
        (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "edge-fer's protocol, found b'SSH"),
        (
            lambda connection: connection.sendall(protocol.refusal(Refusal(0, Cause.FULL, "16 clients"))),
            "let us in, found: 16 clients; raise serve.max_clients there",
        ),
    ],
)
def test_a_handshake_that_fails_is_told_in_one_line(script: Callable[[socket.socket], None], words: str) -> None:
    with scripted(script) as server, pytest.raises(BackendError, match=words) as caught:
        connect(server, QUICK)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(BackendError, match="found: connection refused; start `edge-fer serve` there"):
        connect(Server("127.0.0.1", port))
    with pytest.raises(BackendError, match=r"expected a server of edge-fer at nowhere\.invalid:9"):
        connect(Server("nowhere.invalid", 9), QUICK)
    assert str(Server("fe80::1", 9010)) == "[fe80::1]:9010"


def real(**options: Any) -> AbstractContextManager[FaceServer]:
    return serving([network_of(FakeBackend((FACE,), (LOGITS,)))], **options)


def test_the_token_lets_in_and_nothing_else_does() -> None:
    with real(token=TOKEN) as there:
        for token, words in ((None, "found: no token; give both"), ("another", "found: another token than this")):
            with pytest.raises(BackendError, match=words):
                connect(there.address(), RemoteOptions(token), there.model)
        with connect(there.address(), RemoteOptions(TOKEN, 20.0), there.model) as backend:
            backend.infer(ZEROS)
        assert there.counts.refused == {"token": 2}
        for _ in range(8):
            with pytest.raises(BackendError):
                connect(there.address(), RemoteOptions("another"), there.model)
        with pytest.raises(BackendError, match="too many wrong tokens came from this address; it is tried again"):
            connect(there.address(), RemoteOptions(TOKEN), there.model)


def test_another_model_is_told() -> None:
    with real() as there, pytest.raises(BackendError, match=r"another model, abababababab\.\.\., and it serves `net`"):
        connect(there.address())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    need_debian("openssl")
    return Certificates(tmp_path_factory.mktemp("certificates"))


def test_tls_with_a_certificate_of_each_end(certificates: Certificates) -> None:
    path = certificates.path
    context = server_context(path("broker.crt"), path("broker.key"), path("ca.crt"))
    mine = client_context(path("ca.crt"), path("box.crt"), path("box.key"))
    with real(tls=context) as there:
        with connect(there.address(mine), PATIENT, there.model) as backend:
            backend.infer(ZEROS)
        found = _why(there, client_context(path("ca.crt"), None, None))
        assert "certificate required" in found or "connection" in found
        assert "to agree on TLS" not in found, "with TLS 1.3 the server tells afterwards"


def _why(there: FaceServer, tls: ssl.SSLContext | None, options: RemoteOptions = PATIENT) -> str:
    with pytest.raises(BackendError) as caught:
        connect(there.address(tls), options, there.model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_trust_there_is_no_tls(certificates: Certificates) -> None:
    path = certificates.path
    with real(tls=server_context(path("broker.crt"), path("broker.key"), None)) as there:
        found = _why(there, client_context(path("other_ca.crt"), None, None))
        assert "that can be trusted, found: " in found
        assert "if serve.tls is on there" in _why(there, None, QUICK)
    with real(tls=server_context(path("elsewhere.crt"), path("elsewhere.key"), None)) as there:
        assert "IP address mismatch" in _why(there, client_context(path("ca.crt"), None, None))
    with real() as there:
        assert "expected to agree on TLS" in _why(there, client_context(path("ca.crt"), None, None))


def test_it_reconnects_after_pauses_that_double_and_for_ever() -> None:
    now = [0.0]
    policy = Reconnecting(Backoff(0.1, 1.0, lambda: now[0]), 10.0, lambda: now[0])
    assert [policy.failed().pause_s for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    policy.succeeded()
    now[0] = 9.0
    assert policy.failed().pause_s == 1.0, "it did not hold for long"
    policy.succeeded()
    now[0] = 20.0
    attempt = policy.failed()
    assert (attempt.name, attempt.text) == ("reconnect", "reconnect, next attempt in 0.1 s")
    assert policy.counts == {"reconnect": 8}


def test_a_key_that_everybody_may_read_is_refused(certificates: Certificates, tmp_path: Path) -> None:
    key = tmp_path / "box.key"
    key.write_bytes(certificates.path("box.key").read_bytes())
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="readable by everybody"):
        client_context(certificates.path("ca.crt"), certificates.path("box.crt"), key)
