"""The service of tools/field/boot_service.py, as `boot_guest` sees it from inside: what it is told, and how it is.

With the system's Python and its standard library only.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPTIONS = json.loads(Path("/root/options.json").read_text())
CONFIG = Path("/etc/edge-fer/config.yaml")
READINGS = Path("/var/lib/edge-fer/readings.jsonl")
UNIT = "edge-fer.service"
# An emulated processor takes minutes for what takes seconds.
START_S = 1200.0 if OPTIONS["emulated"] else 60.0


def head(text: str) -> None:
    """Say which step begins."""
    print(f"\n== {text}", flush=True)


def sh(command: str, quiet: bool = False) -> str:
    """Run a shell command; its output."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip()
    if not quiet:
        print(f"$ {command}\n{said}", flush=True)
    return said


def expect(what: str, holds: object) -> None:
    """Say that a promise was kept, or end."""
    if not holds:
        sh("journalctl --no-pager --lines 60")
        raise SystemExit(f"NOT as it should be: {what}")
    print(f"ok: {what}", flush=True)


def within(seconds: float, what: str, holds: Callable[[], object]) -> float:
    """Wait until it holds; how long that took, seconds."""
    start = time.monotonic()
    while not (well := holds()) and time.monotonic() - start < seconds:
        time.sleep(0.2)
    took = time.monotonic() - start
    expect(f"{what} (after {took:.1f} s)", well)
    return took


def show(name: str) -> str:
    """A property of the service, as systemd has it."""
    return sh(f"systemctl show --value --property {name} {UNIT}", quiet=True)


def pid() -> int:
    """The service's main process; 0: none."""
    return int(show("MainPID") or 0)


def is_active() -> bool:
    """Whether systemd says that the service is up."""
    return show("ActiveState") == "active"


def journal(since: float) -> str:
    """What the service has logged since then, seconds of the wall clock."""
    return sh(f"journalctl --no-pager --output short-monotonic --unit {UNIT} --since @{since:.3f}", quiet=True)


def readings() -> list[dict[str, Any]]:
    """The readings in the file, but for a line that is being written."""
    lines = READINGS.read_text().split("\n")[:-1] if READINGS.exists() else []
    return [record for line in lines if "reading" in (record := json.loads(line))["schema"]]


def is_settled() -> bool:
    """Whether the service is up, and no order to it is under way."""
    return is_active() and show("Job") in ("", "0")


def in_use() -> str:
    """The version that is in service."""
    return Path("/opt/edge-fer/current").readlink().name


def may_open(*paths: str) -> dict[str, bool]:
    """Which devices a process in the service's control group may open, whoever owns them."""
    group = Path("/sys/fs/cgroup") / show("ControlGroup").lstrip("/") / "cgroup.procs"
    found = {}
    for path in paths:
        found[path] = sh(f"sh -c 'echo $$ >{group} && exec 3<{path} && echo opened'", quiet=True).endswith("opened")
    print(found)
    return found


def configure(**capture: object) -> None:
    """The service's configuration, with another source and the readings in a file."""
    publish = {"format": "none", "keep_going": True, "http": {"enabled": True}, "file": {"path": str(READINGS)}}
    settings = {"capture": {"wait": True, **capture}, "publish": publish}
    if OPTIONS["emulated"]:
        settings |= {"detect": {"size": 160}, "classify": {"model": "lite"}}
    CONFIG.write_text(json.dumps(settings, indent=1))


def slow_down() -> None:
    """Grant an emulated processor the time it needs."""
    path = Path(f"/etc/systemd/system/{UNIT}.d/emulated.conf")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[Service]\nTimeoutStartSec={START_S:.0f}\nWatchdogSec=300\n")


def restarted() -> int:
    """Start the service anew, with no readings yet; its process."""
    sh(f"systemctl stop {UNIT}; rm -f {READINGS}; systemctl start {UNIT}")
    return pid()


def stay(minutes: float, process: int) -> None:
    """Look every second whether the service is up, with the same process."""
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        if not is_active() or pid() != process:
            expect(f"up, with process {process}", False)
        time.sleep(1)
