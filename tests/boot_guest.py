"""Inside the virtual machine of tests/boot_service.py: the service, really started, in everything that may befall it.

Runs as root under systemd, with the system's Python and its standard library only. Prints each step; the last line is
`all is well`, or what is not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

OPTIONS = json.loads(Path("/root/options.json").read_text())
CONFIG = Path("/etc/edge-fer/config.yaml")
READINGS = Path("/var/lib/edge-fer/readings.jsonl")
TREE = "/root/edge-fer"
UNIT = "edge-fer.service"


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
    return sh(f"systemctl show --value --property {name} {UNIT}", quiet=True)


def pid() -> int:
    return int(show("MainPID") or 0)


def is_active() -> bool:
    return show("ActiveState") == "active"


def journal(since: float) -> str:
    return sh(f"journalctl --no-pager --output short-monotonic --unit {UNIT} --since @{since:.3f}", quiet=True)


def readings() -> list[dict[str, object]]:
    """The readings in the file, but for a line that is being written."""
    lines = READINGS.read_text().split("\n")[:-1] if READINGS.exists() else []
    return [record for line in lines if "reading" in (record := json.loads(line))["schema"]]


def configure(**capture: object) -> None:
    """The service's configuration, with another source and the readings in a file."""
    publish = {"format": "none", "keep_going": True, "http": {"enabled": True}, "file": {"path": str(READINGS)}}
    CONFIG.write_text(json.dumps({"capture": {"wait": True, **capture}, "publish": publish}, indent=1))


def head(text: str) -> None:
    print(f"\n== {text}", flush=True)


def boot() -> None:
    head("boot to first reading (sample clip, paced like a camera)")
    within(300, "the service is up", is_active)
    within(30, "there are readings", readings)
    first = readings()[0]
    seconds = (float(str(first["captured_ns"])) / 1e6 + float(str(first["age_ms"]))) / 1e3
    print(f"first reading published {seconds:.1f} s after the kernel started; its faces: {len(first['faces'])}")  # type: ignore[arg-type]
    sh("systemd-analyze")
    time.sleep(5)
    sh(f"systemctl status --no-pager --lines 5 {UNIT}")
    expect("status tells the rate", "FPS on cpu" in show("StatusText"))
    expect("it runs as its own user", sh(f"ps -o user= -p {pid()}", quiet=True) == "edge-fer")
    print(sh(f"systemd-analyze security --no-pager {UNIT}", quiet=True).splitlines()[-1])


def reload_settings() -> None:
    head("SIGHUP: good settings, then bad ones")
    before, since = pid(), time.time()
    configure(source="sample", realtime=True, retry_s=1.5)
    sh(f"systemctl reload {UNIT}")
    within(20, "good settings are read", lambda: "the settings were read again" in journal(since))
    count = len(readings())
    within(20, "readings go on", lambda: len(readings()) > count + 10)
    good, since = CONFIG.read_text(), time.time()
    CONFIG.write_text(good.replace("1.5", '"soon"'))
    sh(f"systemctl reload {UNIT}")
    within(20, "bad settings are refused, and it is said", lambda: "the old ones are kept" in journal(since))
    print(journal(since))
    within(5, "it is up", is_active)
    expect("with the same process", pid() == before)
    CONFIG.write_text(good)


def watchdog() -> None:
    head("watchdog: a process that is stuck (SIGSTOP) is killed and started again")
    before, since = pid(), time.time()
    sh(f"kill -STOP {before}")
    within(90, "another process is up", lambda: is_active() and pid() not in (0, before))
    print(journal(since))
    expect("the watchdog did it", "Watchdog timeout" in journal(since))


def failures() -> None:
    head("failures that follow each other: longer and longer pauses, for ever; an order to start is obeyed at once")
    good, since = CONFIG.read_text(), time.time()
    CONFIG.write_text("capture: [nonsense\n")
    sh(f"systemctl --no-block restart {UNIT}")
    within(90, "it failed five times", lambda: "failed 5 times in a row" in journal(since))
    print("\n".join(line for line in journal(since).splitlines() if "in a row" in line or "expected" in line))
    CONFIG.write_text(good)
    sh(f"systemctl restart {UNIT}")
    within(10, "it is up", is_active)


def camera() -> None:
    minutes = OPTIONS["minutes"]
    head(
        f"no camera for {minutes:g} minutes, then a camera without a face for {minutes:g}, unplugged, plugged in again"
    )
    configure(source="0")
    sh(f"rm -f {READINGS}; systemctl restart {UNIT}")
    before = pid()
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        expect_quietly("up, with the same process", is_active() and pid() == before)
        time.sleep(1)
    print(show("StatusText"))
    expect("the same process waits for its camera", "waiting_for_camera" in show("StatusText") and pid() == before)
    sh("modprobe vivid n_devs=1 node_types=0x1 no_error_inj=1; udevadm settle; ls -l /dev/video0 /dev/media0")
    within(60, "readings come when the camera does", lambda: len(readings()) > 30)
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        expect_quietly("up, with the same process", is_active() and pid() == before)
        time.sleep(1)
    print(show("StatusText"))
    faces = sum(len(reading["faces"]) for reading in readings())  # type: ignore[arg-type, misc]
    expect(f"{len(readings())} readings, {faces} faces in them, the same process", pid() == before and not faces)
    sh("echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind")
    within(30, "an unplugged camera is missed", lambda: "waiting_for_camera" in show("StatusText"))
    count = len(readings())
    sh("echo vivid.0 >/sys/bus/platform/drivers/vivid/bind; udevadm settle; ls -l /dev/video*")
    within(60, "readings come again", lambda: len(readings()) > count + 30)
    expect("from the same process", pid() == before)


def expect_quietly(what: str, holds: bool) -> None:
    if not holds:
        expect(what, holds)


def drop_ins() -> None:
    head("each drop-in: loaded, and the service starts with it although its device is not there")
    configure(source="sample", realtime=True)
    for name in ("edgetpu-pcie", "picamera2", "mavlink-serial", "pi-health"):
        print(sh(f"{TREE}/deploy/install.sh --wheels /root/wheels --with {name}", quiet=True).splitlines()[0])
        within(60, f"up with {name}", lambda: is_active() and not show("Job"))
        expect(f"{name} is loaded", f"{name}.conf" in show("DropInPaths"))
    sh(f"systemctl show --property DropInPaths,DeviceAllow,SupplementaryGroups {UNIT}")
    head("what they open: a serial port that is plugged in later (ttyACM), a media device; nothing else")
    sh("modprobe dummy_hcd; modprobe g_serial; udevadm settle; ls -l /dev/ttyACM0 /dev/media0 /dev/vda")
    allowed = may_open("/dev/ttyACM0", "/dev/media0", "/dev/vda")
    expect("with drop-ins", allowed == {"/dev/ttyACM0": True, "/dev/media0": True, "/dev/vda": False})
    names = "edgetpu-pcie,picamera2,mavlink-serial,pi-health"
    sh(f"{TREE}/deploy/install.sh --wheels /root/wheels --without {names}")
    within(60, "up without them", lambda: is_active() and not show("Job"))
    allowed = may_open("/dev/ttyACM0", "/dev/media0", "/dev/vda")
    expect("without drop-ins", allowed == dict.fromkeys(allowed, False))


def may_open(*paths: str) -> dict[str, bool]:
    """Which devices a process in the service's control group may open, whoever owns them."""
    group = Path("/sys/fs/cgroup") / show("ControlGroup").lstrip("/") / "cgroup.procs"
    found = {}
    for path in paths:
        child = f"echo $$ >{group} && exec 3<>{path} && echo opened"
        found[path] = sh(f"sh -c '{child}'", quiet=True).endswith("opened")
    print(found)
    return found


def in_use() -> str:
    return Path("/opt/edge-fer/current").readlink().name


def upgrade() -> None:
    head("upgrade: a good version, then one that crashes, then one that never gets ready")
    for version, is_good in (("0.1.1", True), ("0.1.2", False), ("0.1.3", False)):
        before = in_use()
        start = time.monotonic()
        said = sh(f"{TREE}/deploy/upgrade.sh --wheels /root/wheels /root/versions/edge_fer-{version}-py3-none-any.whl")
        print(f"that took {time.monotonic() - start:.0f} s")
        if is_good:
            expect(f"{version} is in service", version in in_use() and "in service" in said)
        else:
            expect("the version before is back", in_use() == before and "is back" in said)
        expect("up", is_active())
        sh("edge-fer --version")


def uninstall() -> None:
    head("uninstall")
    sh("/opt/edge-fer/current/share/edge-fer/deploy/uninstall.sh --purge")
    expect("no unit", show("LoadState") == "not-found")
    expect("no user", not sh("getent passwd edge-fer", quiet=True))
    sh("systemctl --failed --no-pager")


def main() -> None:
    """Every step."""
    for step in (boot, reload_settings, watchdog, failures, camera, drop_ins, upgrade, uninstall):
        if not OPTIONS["only"] or step.__name__ in ("boot", *OPTIONS["only"]):
            step()
    print("\nall is well", flush=True)


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["configure"]:
            configure(source="sample", realtime=True)
        else:
            main()
    except Exception:
        traceback.print_exc(file=sys.stdout)
