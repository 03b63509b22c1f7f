"""The unit, its drop-ins and its configuration, judged by systemd's own tools."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_fer.settings import Settings, changed_settings, load_settings
from tests.support import ROOT

CHECKOUT = ROOT
UNITS, DEPLOY = CHECKOUT / "systemd", CHECKOUT / "deploy"
DROP_INS = sorted((UNITS / "edge-fer.service.d").glob("*.conf"))
CONFIG_MAKER = runpy.run_path(str(DEPLOY / "default_config.py"))
RELEASE = "/opt/edge-fer/current"
SERVICES = ("edge-fer.service", "edge-fer-serve.service")
SERVES_WITH = ("edgetpu-pcie", "pi-health")  # the drop-ins that a server of faces may need, which has no camera


def installed(root: Path, drop_ins: list[Path]) -> Path:
    """The units in a folder of their own, their commands beside them."""
    for name in ("bin/edge-fer", "share/edge-fer/deploy/edge-fer-backoff", "share/edge-fer/deploy/edge-fer-usb-helper"):
        command = root / name
        command.parent.mkdir(parents=True, exist_ok=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    units = root / "units"
    for service in SERVICES:
        (units / f"{service}.d").mkdir(parents=True)
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.socket")):
        (units / unit.name).write_text(unit.read_text().replace(RELEASE, str(root)))
    for drop_in in drop_ins:
        for service in SERVICES:
            if service == "edge-fer.service" or drop_in.stem in SERVES_WITH:
                shutil.copy(drop_in, units / f"{service}.d")
    return units


def analyze(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.debian("systemd")
@pytest.mark.parametrize("drop_ins", [[], *([one] for one in DROP_INS), DROP_INS], ids=len)
def test_systemd_finds_nothing_to_complain_about(drop_ins: list[Path], tmp_path: Path) -> None:
    units = installed(tmp_path, drop_ins)
    names = [units / name for name in (*SERVICES, "edge-fer-usb.socket", "edge-fer-usb@.service")]
    said = analyze("verify", "--man=no", "--recursive-errors=yes", *names)
    assert "edge-fer" not in said


@pytest.mark.debian("systemd")
def test_a_mistake_in_a_drop_in_would_be_found(tmp_path: Path) -> None:
    units = installed(tmp_path, [])
    (units / "edge-fer.service.d" / "wrong.conf").write_text("[Service]\nDeviceAllowed=char-81 rw\n")
    with pytest.raises(AssertionError, match=r"wrong\.conf:2: Unknown key"):
        analyze("verify", "--man=no", "--recursive-errors=yes", units / "edge-fer.service")


@pytest.mark.debian("systemd")
@pytest.mark.parametrize(
    ("unit", "drop_ins", "most"),
    [
        *((service, drop_ins, 20) for service in SERVICES for drop_ins in ([], DROP_INS)),
        ("edge-fer-usb@.service", [], 25),
    ],
    ids=["service", "service with all drop-ins", "server", "server with its drop-ins", "USB helper"],
)
def test_the_sandbox_is_tight(unit: str, drop_ins: list[Path], most: int, tmp_path: Path) -> None:
    units = installed(tmp_path, drop_ins)
    report = analyze("security", "--offline=true", f"--threshold={most}", "--no-pager", units / unit)
    assert "Overall exposure level for edge-fer" in report


def test_the_configuration_is_made_from_the_settings() -> None:
    assert (UNITS / "config.yaml").read_text() == CONFIG_MAKER["default_config"](), "run: make config"
    assert (UNITS / "serve.yaml").read_text() == CONFIG_MAKER["serve_config"](), "run: make config"


def settings_of(unit: str) -> set[str]:
    lines = (UNITS / unit).read_text().splitlines()
    return {line for line in lines if line and not line.startswith(("#", "Description=", "Documentation="))}


def test_the_server_is_confined_like_the_service_but_for_what_it_does() -> None:
    service, server = map(settings_of, SERVICES)
    assert server - service == {
        "ExecStart=/opt/edge-fer/current/bin/edge-fer serve --config /etc/edge-fer/serve.yaml",
        "SupplementaryGroups=plugdev",
        "RuntimeDirectory=edge-fer-serve",
    }
    assert {line.partition("=")[0] for line in service - server} == {
        "ExecStart", "SupplementaryGroups", "RuntimeDirectory", "DeviceAllow",
    }  # fmt: skip


def test_a_server_listens_to_nobody_else_until_it_is_told_to() -> None:
    active = load_settings(UNITS / "serve.yaml", environment={})
    assert active == changed_settings(Settings(), CONFIG_MAKER["SERVE_ACTIVE"])
    assert active.serve.place.host == "127.0.0.1"
    assert active.publish.keep_going
    assert active.publish.http.port != load_settings(UNITS / "config.yaml", environment={}).publish.http.port


def test_the_configuration_differs_from_the_defaults_where_a_service_must() -> None:
    active = load_settings(UNITS / "config.yaml", environment={})
    assert active == changed_settings(Settings(), CONFIG_MAKER["ACTIVE"])
    assert active.capture.wait
    assert active.publish.keep_going


@pytest.mark.parametrize("name", ["config.yaml", "serve.yaml"])
def test_every_line_of_the_configuration_can_be_made_active(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(re.sub(r"^( *)#(?=\w+:)", r"\1", (UNITS / name).read_text(), flags=re.MULTILINE))
    assert load_settings(path, environment={}) == load_settings(UNITS / name, environment={})


class Backoff:
    """edge-fer-backoff, with a clock and a `sleep` that only tell."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.up_s = folder, 1000
        (folder / "run").mkdir()
        (folder / "sleep").write_text('#!/bin/sh\necho "$1" >>"$SLEPT"\n')
        (folder / "sleep").chmod(0o755)

    def start(self, *arguments: str, result: str = "") -> subprocess.Popen[str]:
        uptime, slept = self.folder / "uptime", self.folder / "slept"
        uptime.write_text(f"{self.up_s}.52 7.00\n")
        slept.write_text("")
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "SLEPT": str(slept),
            "RUNTIME_DIRECTORY": str(self.folder / "run"),
            "SERVICE_RESULT": result,
            "EDGE_FER_UPTIME": str(uptime),
        }
        command = [DEPLOY / "edge-fer-backoff", *arguments]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)

    def run(self, *arguments: str, result: str = "") -> tuple[int, str]:
        """Its exit code, and what it said."""
        with self.start(*arguments, result=result) as process:
            said = process.communicate(timeout=10)[1]
        return process.returncode, said

    def life(self, lasts_s: int, result: str) -> int:
        """Start, run for a while, end like that; the pause before the next start, seconds."""
        assert self.run("wait")[0] == 0
        self.up_s += lasts_s
        assert self.run("count", result=result)[0] == 0
        assert self.run("wait")[0] == 0
        return int((self.folder / "slept").read_text() or 0)


def test_pauses_double_while_failures_follow_each_other(tmp_path: Path) -> None:
    backoff = Backoff(tmp_path)
    assert [backoff.life(3, "exit-code") for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_long_run_or_an_end_that_was_asked_for_clears_the_count(tmp_path: Path) -> None:
    backoff = Backoff(tmp_path)
    assert [backoff.life(3, "watchdog") for _ in range(3)] == [1, 2, 4]
    assert backoff.life(601, "watchdog") == 1
    assert backoff.life(3, "watchdog") == 2
    assert backoff.life(3, "success") == 0


def test_an_order_to_stop_ends_the_pause_and_is_no_failure(tmp_path: Path) -> None:
    backoff = Backoff(tmp_path)
    backoff.life(3, "exit-code")
    (tmp_path / "sleep").write_text(f"#!/bin/sh\necho sleeps >{tmp_path / 'pipe'}\nexec {shutil.which('sleep')} 60\n")
    os.mkfifo(tmp_path / "pipe")
    with backoff.start("wait") as waiting:
        assert (tmp_path / "pipe").read_text() == "sleeps\n"
        waiting.terminate()
        assert waiting.wait(10) == 0
    assert not (tmp_path / "run/failures").exists()


def test_the_pause_says_why(tmp_path: Path) -> None:
    backoff = Backoff(tmp_path)
    backoff.life(3, "exit-code")
    assert backoff.run("wait") == (0, "failed 1 times in a row, starting again in 1 s\n")
    assert backoff.run("nothing")[0] == 2
