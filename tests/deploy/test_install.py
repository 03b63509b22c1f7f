"""install.sh, upgrade.sh and uninstall.sh below a root of their own, with a wheel and a systemctl made of a few lines.

The real ones: tools/field/install_root.py and tools/field/boot_service.py.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from edge_fer.cli.app import app
from tests.support import ROOT

CHECKOUT = ROOT
DEPLOY = CHECKOUT / "deploy"
CONFIG, SERVE_CONFIG = "etc/edge-fer/config.yaml", "etc/edge-fer/serve.yaml"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="files get owners, which only root may give"),
]

# As much of edge-fer as healthz.py asks.
SETTINGS = """
from types import SimpleNamespace
def load_settings(path):
    port = int(path.read_text().rpartition("port: ")[2] or 0)
    http = SimpleNamespace(enabled=port != 0, address="127.0.0.1", port=port, token_file=None)
    return SimpleNamespace(publish=SimpleNamespace(http=http))
"""
# A service is well while its release is named in the file `well`.
SYSTEMCTL = """
in_use=$(basename "$(readlink "$ROOT/opt/edge-fer/current")")
case "$*" in
    "is-active --quiet edge-fer.service") grep -qx "$in_use" "$STUB/well" ;;
    "is-active --quiet edge-fer-serve.service") grep -qx "$in_use" "$STUB/serves" 2>/dev/null ;;
    "show --value --property MainPID edge-fer-serve.service") echo 4243 ;;
    "show --value --property MainPID edge-fer.service") echo 4242 ;;
    *) echo "$*" >>"$STUB/systemctl.log" ;;
esac
"""
RELOADS_OLD_ONLY = """
case "$1" in
    daemon-reload) [ "$(basename "$(readlink "$ROOT/opt/edge-fer/current")")" = {old} ] ;;
    *) exit 3 ;;
esac
"""
# Making a virtual environment takes seconds, copying one does not.
PYTHON = """
case "$1 $2" in
    "-m venv") exec cp -al "{template}" "$3" ;;
    *) exec "{python}" "$@" ;;
esac
"""


class Box:
    """A root with nothing in it, wheels, and stand-ins for systemctl, udevadm and python3 on the PATH."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.root, self.stub, self.wheels = folder / "root", folder / "bin", folder / "wheels"
        for each in (self.root, self.stub, self.wheels):
            each.mkdir()
        python = PYTHON.format(template=template, python=sys.executable)
        for name, body in (("systemctl", SYSTEMCTL), ("udevadm", "exit 0"), ("python3", python)):
            (self.stub / name).write_text(f"#!/bin/sh\n{body}\n")
            (self.stub / name).chmod(0o755)

    def run(self, script: str, *arguments: str | Path, tree: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{self.stub}:{os.environ['PATH']}:/usr/sbin"}
        environment |= {"ROOT": str(self.root), "STUB": str(self.stub), "LC_ALL": "C"}
        command = [tree / "deploy" / script, "--root", self.root, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)

    def do(self, script: str, *arguments: str | Path, tree: Path = CHECKOUT) -> str:
        done = self.run(script, *arguments, tree=tree)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def wheel(self, version: str) -> Path:
        """A wheel of that version, the only one in the folder."""
        shutil.rmtree(self.wheels)
        self.wheels.mkdir()
        info = f"edge_fer-{version}.dist-info"
        path = self.wheels / f"edge_fer-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("edge_fer/__init__.py", f"def main(): print('edge-fer {version}')\n")
            wheel.writestr("edge_fer/settings.py", SETTINGS)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: edge-fer\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\nedge-fer = edge_fer:main\n")
            wheel.writestr(f"{info}/RECORD", "")
        return path

    def start_systemd(self) -> None:
        (self.root / "run/systemd/system").mkdir(parents=True)

    def release(self, version: str) -> str:
        (found,) = (path.name for path in (self.root / "opt/edge-fer/releases").glob(f"{version}-*"))
        return found

    @property
    def next_release(self) -> str:
        """As install.sh will name it."""
        (wheel,) = self.wheels.glob("*.whl")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()[:8]
        return f"{wheel.name.split('-')[1]}-{digest}-py{sys.version_info.major}.{sys.version_info.minor}"

    @property
    def in_use(self) -> str:
        return (self.root / "opt/edge-fer/current").readlink().name

    @property
    def calls(self) -> list[str]:
        log = self.stub / "systemctl.log"
        return log.read_text().splitlines() if log.exists() else []

    def files(self) -> set[str]:
        """All but what the release itself consists of, and what is left of /etc/passwd and the like."""
        found = (path for path in self.root.rglob("*") if path.is_symlink() or not path.is_dir())
        names = {str(path.relative_to(self.root)) for path in found}
        accounts = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/.pwd.lock")
        return {name for name in names if not name.startswith(("opt/edge-fer/releases", *accounts))}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment to copy."""
    folder = tmp_path_factory.mktemp("template") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def box(tmp_path: Path, template: Path) -> Box:
    return Box(tmp_path, template)


@pytest.fixture
def installed(box: Box) -> Box:
    box.wheel("1.0.0")
    box.do("install.sh", "--wheels", box.wheels)
    return box


def test_a_dry_run_says_what_it_would_do_and_does_nothing(box: Box) -> None:
    box.wheel("1.0.0")
    said = box.do("install.sh", "--wheels", box.wheels, "--dry-run", "--with", "mavlink-serial")
    release = box.root / "opt/edge-fer/releases" / box.next_release
    for step in (
        f"would run: python3 -m venv {release}",
        f"would run: {release}/bin/python -m pip install",
        "/etc/systemd/system/edge-fer.service",
        "switched on: mavlink-serial",
        "systemd does not run here: nothing is started",
    ):
        assert step in said
    assert not list(box.root.iterdir())
    box.start_systemd()
    said = box.do("install.sh", "--dry-run")
    assert "would build a wheel of" in said
    assert re.search(r"ln -sfn releases/\d+\.\d+\.\d+-HASH-py3\.\d+ ", said), "as it will be named, but for the hash"
    assert "would run: systemctl --no-block restart edge-fer.service" in said
    assert [path.name for path in box.root.iterdir()] == ["run"]
    assert not box.calls


def test_a_dry_run_of_an_upgrade_does_nothing_either(installed: Box) -> None:
    installed.start_systemd()
    old = installed.in_use
    installed.wheel("2.0.0")
    (installed.stub / "well").write_text(old)
    before = installed.files()
    said = installed.do("upgrade.sh", "--dry-run", "--wheels", installed.wheels)
    assert f"releases/{installed.next_release}" in said
    assert f"go back to {old}" in said
    assert "installed already" not in said
    assert installed.files() == before
    assert not installed.calls


def test_twice_is_once(installed: Box) -> None:
    once = installed.files()
    assert {"opt/edge-fer/current", "usr/local/bin/edge-fer", CONFIG, "etc/systemd/system/edge-fer.service",
            "etc/udev/rules.d/60-edge-fer.rules", "etc/sysusers.d/edge-fer.conf"} <= once  # fmt: skip
    command = installed.root / "opt/edge-fer/current/bin/edge-fer"
    assert subprocess.run([command], capture_output=True, text=True, check=True).stdout == "edge-fer 1.0.0\n"
    (installed.root / CONFIG).write_text("# mine\n")
    before = command.stat().st_mtime_ns
    assert "keeping" in installed.do("install.sh", "--wheels", installed.wheels)
    assert installed.files() == once
    assert (installed.root / CONFIG).read_text() == "# mine\n"
    assert command.stat().st_mtime_ns == before


def test_links_in_what_is_installed_lead_somewhere(installed: Box) -> None:
    share = installed.root / "opt/edge-fer/current/share/edge-fer"
    pages = {path.relative_to(share): path.read_text() for path in share.rglob("*.md")}
    assert Path("docs/install.md") in pages
    for page, text in pages.items():
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (share / page.parent / link).exists(), f"{page}: {link}"


def test_others_cannot_read_the_configuration(installed: Box) -> None:
    folder = (installed.root / CONFIG).parent.stat()
    assert folder.st_mode & 0o777 == 0o750
    groups = dict(line.split(":")[0:3:2] for line in (installed.root / "etc/group").read_text().splitlines())
    assert folder.st_gid == int(groups["edge-fer"])
    assert "apex" in groups


def test_uninstalling_leaves_the_configuration_only(installed: Box) -> None:
    installed.do("install.sh", "--wheels", installed.wheels, "--with", "picamera2,pi-health")
    assert "etc/systemd/system/edge-fer.service.d/pi-health.conf" in installed.files()
    assert "would run" in installed.do("uninstall.sh", "--dry-run")
    script = installed.root / "opt/edge-fer/current/share/edge-fer"
    assert "kept" in installed.do("uninstall.sh", tree=script)
    assert installed.files() == {CONFIG, SERVE_CONFIG}
    assert {path.name for path in installed.root.iterdir()} == {"etc", "opt"}
    assert not list((installed.root / "opt").iterdir())
    for database in ("passwd", "group"):
        assert "edge-fer" not in (installed.root / "etc" / database).read_text()
    (installed.root / "etc/edge-fer/token").write_text("a token\n")
    (installed.root / "srv").mkdir()
    (installed.root / "srv/ca.pem").touch()
    with (installed.root / CONFIG).open("a") as file:
        file.write("#x: {token_file: /etc/edge-fer/token, ca_file: /srv/ca.pem}\n")
    said = installed.do("uninstall.sh", "--purge")
    assert said.splitlines() == [
        "uninstall: not removed, though the configuration names it: /srv/ca.pem",
        f"uninstall: removing {installed.root}/etc/edge-fer",
    ]
    (installed.root / "srv/ca.pem").unlink()
    assert installed.files() == set()
    for options in ([], ["--purge"]):
        assert "nothing to do" in installed.do("uninstall.sh", *options)


def test_what_the_service_wrote_and_what_was_there_before_is_not_taken_away(box: Box) -> None:
    box.wheel("1.0.0")
    (box.root / "etc").mkdir()
    (box.root / "etc/group").write_text("root:x:0:\napex:x:900:\n")
    (box.root / "var/lib/edge-fer").mkdir(parents=True)
    (box.root / "var/lib/edge-fer/readings.jsonl").write_text("{}\n")
    box.do("install.sh", "--wheels", box.wheels)
    box.do("uninstall.sh")
    assert "apex:x:900:" in (box.root / "etc/group").read_text()
    assert (box.root / "var/lib/edge-fer/readings.jsonl").exists()
    box.do("uninstall.sh", "--purge")
    assert not (box.root / "var/lib/edge-fer").exists()


def test_drop_ins_follow_the_hardware_and_the_options(box: Box) -> None:
    box.wheel("1.0.0")
    for path in ("sys/class/apex/apex_0", "usr/lib/python3/dist-packages/picamera2"):
        (box.root / path).mkdir(parents=True)
    folder = box.root / "etc/systemd/system/edge-fer.service.d"

    def switched_on(*options: str) -> set[str]:
        box.do("install.sh", "--wheels", box.wheels, *options)
        return {path.stem for path in folder.glob("*")}

    assert switched_on("--without", "picamera2") == {"edgetpu-pcie"}
    assert switched_on("--with", "mavlink-serial") == {"edgetpu-pcie", "picamera2", "mavlink-serial"}
    assert switched_on("--without", "mavlink-serial,picamera2") == {"edgetpu-pcie"}


def test_the_server_of_faces_is_installed_and_not_started(installed: Box) -> None:
    assert {SERVE_CONFIG, "etc/systemd/system/edge-fer-serve.service"} <= installed.files()
    assert not (installed.root / "etc/systemd/system/multi-user.target.wants/edge-fer-serve.service").exists()
    (installed.root / SERVE_CONFIG).write_text("# mine\n")
    (installed.root / "sys/class/apex/apex_0").mkdir(parents=True)
    installed.start_systemd()
    installed.do("install.sh", "--wheels", installed.wheels)
    assert (installed.root / SERVE_CONFIG).read_text() == "# mine\n"
    assert "etc/systemd/system/edge-fer-serve.service.d/edgetpu-pcie.conf" in installed.files()
    assert "--no-block try-restart edge-fer-serve.service" in installed.calls


def test_an_upgrade_watches_a_server_of_faces_that_runs_alone(installed: Box) -> None:
    installed.start_systemd()
    old = installed.in_use
    (installed.stub / "serves").write_text(old)
    (installed.stub / "well").write_text("")
    installed.wheel("2.0.0")
    done = installed.run("upgrade.sh", "--timeout", "2", "--wheels", installed.wheels)
    assert (done.returncode, installed.in_use) == (1, old)
    (installed.stub / "serves").write_text(f"{old}\n{installed.next_release}\n")
    installed.do("upgrade.sh", "--timeout", "3", "--wheels", installed.wheels)
    assert installed.in_use == installed.release("2.0.0")
    assert "--no-block restart edge-fer-serve.service" in installed.calls
    assert "--no-block restart edge-fer.service" not in installed.calls


def test_a_service_that_was_disabled_stays_so(installed: Box) -> None:
    wanted = installed.root / "etc/systemd/system/multi-user.target.wants/edge-fer.service"
    assert wanted.is_symlink()
    wanted.unlink()
    installed.do("install.sh", "--wheels", installed.wheels)
    assert not wanted.is_symlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wrong"], "expected an option of"),
        (["--wheels"], "expected a value after --wheels, found nothing"),
        (["--with", "coffee"], "pi-health, found coffee"),
        (["--wheels", "/nowhere"], "expected a wheel edge_fer-*.whl in /nowhere, found none"),
        (["/nowhere.whl"], "expected a wheel, found no file /nowhere.whl"),
        (["--release", "0.0.0"], "found 0.0.0"),
        (["--root", "/nowhere"], "expected a folder after --root, found none at /nowhere"),
    ],
)
def test_wrong_use_is_one_line(box: Box, arguments: list[str], message: str) -> None:
    done = box.run("install.sh", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(box.root.iterdir())


def test_what_the_box_lacks_is_a_line_each(box: Box) -> None:
    for name, body in (
        ("python3", 'case "$2" in *version_info*) ;; *) exit 1 ;; esac'),
        ("uname", "echo armv7l"),
        ("df", "printf 'head\\n/dev/root 9 8 102400 90 /\\n'"),
    ):
        (box.stub / name).write_text(f"#!/bin/sh\n{body}\n")
        (box.stub / name).chmod(0o755)
    done = box.run("install.sh", box.wheel("1.0.0"))
    assert done.returncode == 1
    found = ["apt-get install python3-venv", "found a 32-bit Python", "found armv7l", "found 100: make room"]
    assert len(done.stderr.splitlines()) == len(found)
    for line, expected in zip(done.stderr.splitlines(), found, strict=True):
        assert expected in line
    assert not list(box.root.iterdir())


def test_beside_the_debian_package_it_does_not_install(box: Box) -> None:
    database = box.root / "var/lib/dpkg"
    database.mkdir(parents=True)
    entry = "Package: edge-fer\nStatus: {}\nVersion: 1.0.0\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n"
    (database / "status").write_text(entry.format("install ok installed"))
    assert "apt-get remove edge-fer" in box.run("install.sh", box.wheel("1.0.0")).stderr
    (database / "status").write_text(entry.format("deinstall ok config-files"))
    box.do("install.sh", "--wheels", box.wheels, box.wheel("1.0.0"))


def test_an_installation_that_fails_leaves_no_half_of_it(box: Box) -> None:
    path = box.wheel("1.0.0")
    path.write_bytes(path.read_bytes()[:-50])
    done = box.run("install.sh", "--wheels", box.wheels, path)
    assert done.returncode == 1
    assert "pip could not install" in done.stderr
    assert not list((box.root / "opt/edge-fer/releases").iterdir())
    assert not (box.root / "etc").exists()


def test_a_new_version_that_gets_well_stays(installed: Box) -> None:
    installed.start_systemd()
    old = installed.in_use
    assert "was installed already" in installed.do("upgrade.sh", "--wheels", installed.wheels)
    installed.wheel("2.0.0")
    (installed.stub / "well").write_text(f"{old}\n{installed.next_release}\n")
    said = installed.do("upgrade.sh", "--timeout", "3", "--wheels", installed.wheels)
    assert installed.in_use == installed.release("2.0.0")
    assert f"{installed.in_use} is installed and in service" in said
    assert "daemon-reload" in installed.calls
    assert "--no-block restart edge-fer.service" in installed.calls
    assert installed.release("1.0.0") == old


def test_a_new_version_that_stays_ill_gives_way_to_the_old_one(installed: Box, tmp_path: Path) -> None:
    installed.start_systemd()
    old = installed.in_use
    (installed.stub / "well").write_text(f"{old}\n")
    newer = tmp_path / "newer"
    for folder in ("deploy", "systemd", "docs"):
        shutil.copytree(CHECKOUT / folder, newer / folder)
    (newer / "systemd/edge-fer.service").write_text("# a new unit\n")
    installed.wheel("2.0.0")
    done = installed.run("upgrade.sh", "--timeout", "3", "--wheels", installed.wheels, tree=newer)
    assert done.returncode == 1
    assert f"{old} is back in service" in done.stderr
    assert installed.in_use == old
    unit = installed.root / "etc/systemd/system/edge-fer.service"
    assert unit.read_text() == (CHECKOUT / "systemd/edge-fer.service").read_text()
    assert installed.calls.count("--no-block restart edge-fer.service") == 2


def test_an_upgrade_that_fails_after_the_switch_goes_back(installed: Box) -> None:
    old = installed.in_use
    installed.start_systemd()
    installed.wheel("2.0.0")
    (installed.stub / "systemctl").write_text(f"#!/bin/sh\n{RELOADS_OLD_ONLY.format(old=old)}")
    done = installed.run("upgrade.sh", "--wheels", installed.wheels)
    assert done.returncode == 1
    assert f"{old} is back\n" in done.stderr
    assert installed.in_use == old


def test_healthz_counts_where_it_was_well_before(installed: Box, healthz: list[int]) -> None:
    installed.start_systemd()
    old = installed.in_use
    (installed.root / CONFIG).write_text(f"port: {healthz.pop()}")
    installed.wheel("2.0.0")
    (installed.stub / "well").write_text(f"{old}\n{installed.next_release}\n")
    healthz[:] = [200, 503, 503, 503, 503, 503, 503, 503, 503, 503, 503]
    done = installed.run("upgrade.sh", "--timeout", "2", "--wheels", installed.wheels)
    assert done.returncode == 1
    assert installed.in_use == old
    healthz[:] = [503]
    installed.do("upgrade.sh", "--timeout", "3", "--wheels", installed.wheels)
    assert installed.in_use == installed.release("2.0.0")


@pytest.fixture
def healthz() -> Iterator[list[int]]:
    """A server of /healthz; its port, then the answers it shall give, the last one for ever."""
    answers: list[int] = []

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Requests are nobody's business here."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        answers.append(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield answers
        server.shutdown()
        thread.join()


def test_healthz_is_asked_as_the_settings_say(tmp_path: Path, healthz: list[int]) -> None:
    port = healthz.pop()
    healthz.append(503)
    token, config = tmp_path / "token", tmp_path / "config.yaml"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    http = {"enabled": True, "address": "0.0.0.0", "port": port, "token_file": str(token)}

    def asked(**changed: object) -> str:
        config.write_text(json.dumps({"publish": {"http": http | changed}}))
        answered: str = runpy.run_path(str(DEPLOY / "healthz.py"))["answer"](config)
        return answered

    assert asked() == "503"
    healthz[:] = [200]
    assert asked() == "200"
    assert asked(address="127.0.0.1", token_file=None) == "200"
    assert asked(address="127.0.0.2", token_file=None) == "silent"
    assert asked(enabled=False) == "off"


def test_upgrade_without_an_installation_or_with_nothing_running(box: Box) -> None:
    box.wheel("1.0.0")
    assert box.run("upgrade.sh", "--wheels", box.wheels).returncode == 2
    box.do("install.sh", "--wheels", box.wheels)
    box.wheel("2.0.0")
    assert "is installed\n" in box.do("upgrade.sh", "--wheels", box.wheels)
    assert box.in_use == box.release("2.0.0")
    assert not box.calls


@pytest.mark.parametrize("script", ["install.sh", "upgrade.sh", "uninstall.sh"])
def test_help_is_the_head_of_the_script(script: str) -> None:
    done = subprocess.run([DEPLOY / script, "--help"], capture_output=True, text=True, check=True)
    assert f"deploy/{script}" in done.stdout
    assert "Exit code: 0" in done.stdout
    assert "set -eu" not in done.stdout


def test_the_man_page_names_every_command() -> None:
    section = (DEPLOY / "debian/edge-fer.1").read_text().partition(".SH COMMANDS")[2].partition(".SH")[0]
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    assert set(re.findall(r"^\.TP\n\.B (\w+)$", section, re.MULTILINE)) == {*command.commands, "lab"}


@pytest.mark.debian("shellcheck")
def test_shellcheck_finds_nothing() -> None:
    scripts = {*DEPLOY.glob("*.sh"), *DEPLOY.glob("debian/*"), *DEPLOY.glob("edge-fer-*")}
    scripts = {path for path in scripts if path.name == "common.sh" or path.read_text().startswith("#!")}
    assert len(scripts) > 10
    command: list[str | Path] = ["shellcheck", "--external-sources", *sorted(scripts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout
