"""A run of `edge-fer serve`: what it reports, and that it goes on."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edge_fer.cli.app import app
from edge_fer.errors import ConfigError, OutputError
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.remote.backend import RemoteBackend, RemoteOptions
from edge_fer.inference.remote.connection import Server
from edge_fer.publish import Sink
from edge_fer.publish.http.latest_records import LatestRecords
from edge_fer.publish.http.metrics import Metrics
from edge_fer.publish.systemd import summary
from edge_fer.schema import Record, Status
from edge_fer.serve.serve_run import ServeRun
from edge_fer.settings import ServeSettings, Settings, load_settings
from edge_fer.types import Image
from tests.support.face_server import TOKEN
from tests.support.waiting import wait_until

PATIENT = RemoteOptions(TOKEN, 20.0, 20.0)
SHA256 = ModelStore().spec("lite", "classify").sha256


class Kept(Sink):
    name = "kept"

    def __init__(self) -> None:
        self.told: list[Status] = []

    def publish(self, record: Record, image: Image | None) -> None:
        assert isinstance(record, Status)
        self.told.append(record)


def settings(folder: Path, **changes: Any) -> Settings:
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    flags = {"classify.model": "lite", "classify.backend": "fake", "serve.listen": "127.0.0.1:0",
             "serve.token_file": str(token), "publish.format": "none"}  # fmt: skip
    return load_settings(environment={}, flags={**flags, **changes})


@contextmanager
def running(made: Settings) -> Iterator[tuple[ServeRun, Kept, list[int]]]:
    """A run in a thread of its own; what it published, and its heartbeats."""
    stopping, kept, beats = threading.Event(), Kept(), list[int]()
    with ServeRun(made, [kept], stopping, lambda: beats.append(1)) as run:
        thread = threading.Thread(target=run.run)
        thread.start()
        try:
            yield run, kept, beats
        finally:
            stopping.set()
            thread.join(20)
    assert not thread.is_alive()


def first(kept: Kept, is_it: Callable[[Status], bool]) -> Status | None:
    return next(filter(is_it, kept.told), None)


def client(run: ServeRun) -> RemoteBackend:
    port = wait_until(lambda: run.port)
    return RemoteBackend(Server("127.0.0.1", port), SHA256, "faces", PATIENT)


@pytest.mark.slow
def test_it_reports_what_it_does_for_whom(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as (run, kept, beats):
        with client(run) as backend:
            for _ in range(3):
                backend.infer(np.zeros(backend.inputs[0].shape, np.uint8))
            busy = wait_until(lambda: next((one for one in kept.told if one.served and one.served.faces == 3), None))
        assert beats
    assert busy.served is not None
    assert (busy.state, busy.source, busy.model, busy.backend) == ("running", "serve:127.0.0.1:0", "lite", "fake")
    assert (busy.served.clients, busy.served.late, busy.served.away, busy.served.refused) == (1, 0, 0, {})
    assert busy.stages["classify"].count == 3
    assert summary(busy) == f"1 client, {busy.fps:.1f} faces a second on fake; reading faces for other computers"
    states = [status.state for status in kept.told]
    assert (states[0], states[-1]) == ("starting", "stopping")
    assert kept.told[-1].message == "asked to stop"
    health, metrics = LatestRecords(10.0, lambda: 0.0), LatestRecords(10.0)
    health.update(busy)
    assert health.health().healthy, "without a reading"
    metrics.update(busy)
    text = Metrics(metrics, lambda: iter(())).text().decode()
    assert "edge_fer_serve_clients 1.0\n" in text
    assert "edge_fer_serve_faces_total 3.0\n" in text
    assert 'edge_fer_serve_unread_faces_total{why="late"} 0.0\n' in text


def test_where_it_cannot_listen_a_service_waits_and_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        made = settings(tmp_path, **{"serve.listen": place, "publish.keep_going": True})
        with running(made) as (_, kept, beats):
            status = wait_until(lambda: first(kept, lambda one: one.state == "degraded"))
            wait_until(lambda: len(beats) > 2, what="it beats while it waits")
        assert "another program has that port: end it, or choose another one; trying again in 1 s" in status.message
        latest = LatestRecords(10.0)
        latest.update(status)
        assert [reason.what for reason in latest.health().reasons] == ["not_listening", "degraded"]
        with (
            ServeRun(settings(tmp_path, **{"serve.listen": place}), [], threading.Event()) as run,
            pytest.raises(OutputError, match="another program has that port"),
        ):
            run.run()


@pytest.mark.slow
def test_a_server_that_ended_is_started_again(tmp_path: Path) -> None:
    with running(settings(tmp_path, **{"publish.keep_going": True})) as (run, kept, _):
        with client(run):
            server = run._server
            assert server is not None
            server.close()
        wait_until(lambda: any("the server ended" in status.message for status in kept.told))
        with client(run) as backend:
            assert backend.device == "fake"
        assert wait_until(lambda: kept.told[-1].restarts == 1)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"listen": "0.0.0.0:9010"}, "0.0.0.0:9010 is open to others: expected a token_file, found none; set one"),
        ({"listen": "[::]:9010"}, "is open to others"),
        (
            {"listen": "localhost:9010"},
            "such as 0.0.0.0:9010, found 'localhost:9010'",
        ),
        ({"listen": "127.0.0.1"}, "expected HOST:PORT"),
        ({"listen": "127.0.0.1:70000"}, "expected HOST:PORT"),
        ({"tls": True}, "tls needs cert_file"),
        ({"cert_file": "x.pem"}, "cert_file needs `tls: true`"),
        ({"tls": True, "cert_file": "x.pem", "key_file": None, "ca_file": None}, None),
        ({"listen": "[::1]:9010"}, None),
    ],
)
def test_settings_that_are_not_safe_are_refused(section: dict[str, object], words: str | None) -> None:
    if words is None:
        assert ServeSettings.model_validate(section).place.port == 9010
        return
    with pytest.raises(ValueError, match=words.replace("[", r"\[")):
        ServeSettings.model_validate(section)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("remote:192.168.100.2:9010", ("192.168.100.2", 9010)),
        ("remote:[fe80::1%usb0]:9010", ("fe80::1%usb0", 9010)),
        ("remote:dev-board.local:1", ("dev-board.local", 1)),
        ("cpu", None),
    ],
)
def test_the_address_of_another_computer_is_part_of_the_devices_name(name: str, place: tuple[str, int] | None) -> None:
    assert load_settings(environment={}, flags={"classify.backend": name}).classify.server == place


@pytest.mark.parametrize("name", ["remote:", "remote:host", "remote:host:0", "remote:user@host:9", "remote:a b:9"])
def test_what_is_no_address_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"setting `classify\.backend`: expected HOST:PORT"):
        load_settings(environment={}, flags={"classify.backend": name})


def test_a_server_serves_devices_of_its_own_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a device of this computer to serve, found remote:127"):
        ServeRun(settings(tmp_path, **{"classify.backend": "remote:127.0.0.1:9"}), [], threading.Event())


def test_the_command_refuses_to_listen_to_others_without_a_token() -> None:
    result = CliRunner().invoke(app, ["serve", "--listen", "0.0.0.0:9010"])
    assert isinstance(result.exception, ConfigError)
    assert "is open to others" in str(result.exception)


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_end() -> None:
    command = [sys.executable, "-m", "edge_fer", "serve", "--listen", "127.0.0.1:0", "--backend", "fake", "--model",
               "lite", "--format", "json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        records = (json.loads(line) for line in process.stdout)
        message = next(record["message"] for record in records if "listening" in record["message"])
        address = Server("127.0.0.1", int(message.rpartition(" ")[2]))
        with RemoteBackend(address, SHA256, options=PATIENT) as backend:
            backend.infer(np.zeros(backend.inputs[0].shape, np.uint8))
        process.send_signal(signal.SIGTERM)
        assert [record["state"] for record in records][-1] == "stopping"
        assert process.wait(20) == 0
