"""What the doctor says of another computer that should read faces: one line for each way in which it may not."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_fer.doctor.finding import Finding
from edge_fer.doctor.remote import check_remote, check_serving
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.messages import Welcome
from edge_fer.settings import ClassifySettings, ServeSettings
from tests.support.face_server import TOKEN, FaceServer, served_model, serving
from tests.support.scripted_server import Script, receive, scripted

STORE = ModelStore()


def secret(folder: Path, token: str) -> Path:
    path = folder / f"token-{len(token)}"
    path.write_text(token)
    path.chmod(0o600)
    return path


def said(port: int, model: str = "lite", **remote: object) -> Finding:
    settings = ClassifySettings.model_validate(
        {
            "backend": f"remote:127.0.0.1:{port}",
            "model": model,
            "remote": {"connect_s": 5, "deadline_ms": 4000, **remote},
        }
    )
    (finding,) = check_remote(settings, STORE)
    return finding


@contextmanager
def lite_server(**options: str) -> Iterator[FaceServer]:
    with serving(served_model("lite", backend="fake"), token=options.get("token")) as there:
        yield there


def test_without_another_computer_nothing_is_found() -> None:
    assert list(check_remote(ClassifySettings(), STORE)) == []
    assert list(check_serving(ServeSettings())) == []


def test_a_server_that_answers_is_timed(tmp_path: Path) -> None:
    with lite_server(token=TOKEN) as there:
        finding = said(there.server.port, token_file=secret(tmp_path, TOKEN))
    assert finding.level == "ok", finding
    assert f"`lite` on fake at 127.0.0.1:{there.server.port}: " in finding.found
    assert " ms there and back, " in finding.found


def test_a_server_that_is_slow_is_warned_of() -> None:
    with lite_server() as there:
        finding = said(there.server.port, deadline_ms=1)
    assert finding.level in {"warn", "fail"}, "it may not answer within a millisecond at all"


def silent(connection: socket.socket) -> None:
    receive(connection)


def of_another_version(connection: socket.socket) -> None:
    greeting = bytearray(protocol.greeting(bytes(32)))
    greeting[4] += 1
    connection.sendall(bytes(greeting))
    receive(connection)


def deaf(connection: socket.socket) -> None:
    """Shakes hands, and answers nothing."""
    connection.sendall(protocol.greeting(bytes(32)))
    receive(connection)
    (network,) = served_model("lite", backend="fake")
    with network:
        inputs = network.programs["faces"].inputs
        connection.sendall(protocol.welcome(Welcome("fake", inputs, network.outputs)))
    while receive(connection):
        pass


def test_each_way_to_fail_is_a_line_of_its_own(tmp_path: Path) -> None:
    scripts: dict[Script, tuple[dict[str, float], str, str]] = {
        silent: ({"connect_s": 0.3}, "within .* ms, found none", "if serve.tls is on there"),
        of_another_version: ({}, "expected version 1 of the protocol, found version 2", "install the same version"),
        deaf: ({"deadline_ms": 50}, "within 50 ms, found none", "look at the network between the two"),
    }
    findings = []
    for script, (remote, found, mend) in scripts.items():
        with scripted(script) as server:
            findings.append((said(server.port, **remote), found, mend))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    findings.append((said(port), "found: connection refused", "start `edge-fer serve` there"))
    with lite_server(token=TOKEN) as there:
        port = there.server.port
        findings.append((said(port), "found: no token", "give both the same token"))
        wrong = secret(tmp_path, f"{TOKEN}-another")
        findings.append((said(port, token_file=wrong), "another token than this server's", "give both the same token"))
        right = secret(tmp_path, TOKEN)
        findings.append((said(port, "se_resnet50", token_file=right), "another model", "let both use the same files"))
        findings.append((said(port, tls=True), "expected to agree on TLS", "both ends need it, or neither"))
    findings.append((said(port, token_file=tmp_path / "none"), "No such file", "make one"))
    for finding, found, mend in findings:
        assert finding.level == "fail"
        assert finding.mend is not None
        assert re.search(found, finding.found), finding
        assert mend in finding.mend, finding
    assert len({finding.found for finding, *_ in findings}) == len(findings)


def test_this_computers_own_server_is_looked_for(tmp_path: Path) -> None:
    def told(**settings: object) -> Finding:
        (finding,) = check_serving(ServeSettings.model_validate(settings))
        return finding

    with socket.create_server(("127.0.0.1", 0)) as there:
        place = f"0.0.0.0:{there.getsockname()[1]}"
        assert told(listen=place, token_file=secret(tmp_path, TOKEN)).level == "ok"
    missing = told(listen=place, token_file=secret(tmp_path, TOKEN))
    assert (missing.level, missing.mend) == ("warn", "sudo systemctl start edge-fer-serve")
    assert told(listen=place, token_file=tmp_path / "none").level == "fail"
    assert told(tls=True, cert_file=tmp_path / "none.pem").level == "fail"
