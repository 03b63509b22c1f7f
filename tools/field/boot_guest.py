"""Inside the container or machine of tools/field/boot_service.py: the service, really started, and what may befall it.

Runs as root under systemd, with the system's Python and its standard library only. Prints each step; the last line is
`all is well`, or what is not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from boot_box import (
    CONFIG,
    OPTIONS,
    READINGS,
    START_S,
    UNIT,
    configure,
    expect,
    head,
    in_use,
    is_active,
    is_settled,
    journal,
    may_open,
    pid,
    readings,
    restarted,
    sh,
    show,
    slow_down,
    stay,
    within,
)

TREE = "/root/edge-fer"
SERVER, SERVED = "edge-fer-serve.service", "remote:127.0.0.1:9010"
# adjtimex(2) asked, and then told to set the clock's frequency to what it is.
CLOCK = (
    "import ctypes; timex = (ctypes.c_long * 64)(); ask = ctypes.CDLL(None).adjtimex; found = ask(timex); "
    "timex[0] = 2; print(f'asked {found}, set', 'refused' if ask(timex) < 0 else 'allowed')"
)
STREAM, STREAM_PORT = "/root/boot_stream.py", 8099
ALL = "edgetpu-pcie,picamera2,mavlink-serial,pi-health"


def boot() -> None:
    head("boot to first reading (sample clip, paced like a camera)")
    within(START_S, "the service is up", is_active)
    within(120, "there are readings", readings)
    first = readings()[0]
    started_s = int(sh("systemctl show --value --property UserspaceTimestampMonotonic", quiet=True)) / 1e6
    seconds = (first["captured_ns"] / 1e6 + first["age_ms"]) / 1e3 - started_s
    print(f"first reading published {seconds:.1f} s after systemd started; its faces: {len(first['faces'])}")
    sh("systemd-analyze")
    time.sleep(5)
    sh(f"systemctl status --no-pager --lines 5 {UNIT}")
    expect("status tells the rate", "FPS on cpu" in show("StatusText"))
    expect("it runs as its own user", sh(f"ps -o user= -p {pid()}", quiet=True) == "edge-fer")
    print(sh(f"systemd-analyze security --no-pager {UNIT}", quiet=True).splitlines()[-1])


def clock() -> None:
    head("the sandbox lets the service ask whether the clock is set, and not set it")
    inside = Path("/etc/systemd/system/edge-fer.service.d/clock.conf")
    inside.parent.mkdir(exist_ok=True)
    inside.write_text(f'[Service]\nExecStartPost=/usr/bin/python3 -c "{CLOCK}"\n')
    since = time.time()
    sh(f"systemctl daemon-reload; systemctl restart {UNIT}")
    expected = sh(f'/usr/bin/python3 -c "{CLOCK}"', quiet=True).split()[1].rstrip(",")
    expect("root can ask", expected != "-1")
    expect(f"it finds {expected}, as root does", f"asked {expected}, set refused" in journal(since))
    inside.unlink()
    sh(f"systemctl daemon-reload; systemctl restart {UNIT}")


def reload_settings() -> None:
    head("SIGHUP: good settings, then bad ones")
    before, since = pid(), time.time()
    configure(source="sample", realtime=True, loop=True, retry_s=1.5)
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
    print("\n".join(line for line in journal(since).splitlines() if "]:   File" not in line))
    expect("the watchdog did it", "Watchdog timeout" in journal(since))
    expect("Python says where each thread stood", "Thread 0x" in journal(since))


def serve() -> None:
    head("faces are read by the server, edge-fer-serve.service, here of the same box")
    expect("it was not started", sh(f"systemctl is-enabled {SERVER}; systemctl is-active {SERVER}").split() == [
        "disabled", "inactive",
    ])  # fmt: skip
    sh(f"systemctl enable --now {SERVER}; systemctl status --no-pager --lines 5 {SERVER}")
    text = f"systemctl show --value --property StatusText {SERVER}"
    expect("it is ready, and says how many clients it has", "0 clients, " in sh(text, quiet=True))
    good = CONFIG.read_text()
    CONFIG.write_text(json.dumps({**json.loads(good), "classify": {"backend": SERVED, "retry_max_s": 1}}))
    sh(f"systemctl reload {UNIT}")

    def newest() -> tuple[str, bool]:
        record = readings()[-1]
        return record["backend"], record["degraded"]

    within(60, "it reads the faces", lambda: newest() == (SERVED, False))
    within(20, "it says so", lambda: "1 client, " in sh(text, quiet=True))
    sh(f"systemctl kill --kill-who=main --signal=STOP {SERVER}")
    within(20, "while it is stuck, the CPU reads them", lambda: newest() == ("cpu", True))
    print(readings()[-1]["reason"])
    within(90, "its watchdog starts it again, and it reads them again", lambda: newest() == (SERVED, False))
    sh(f"systemctl reload {SERVER}; sleep 5; systemctl status --no-pager --lines 5 {SERVER}")
    main = sh(f"systemctl show --value --property MainPID {SERVER}", quiet=True)
    expect("it runs as its own user", sh(f"ps -o user= -p {main}", quiet=True) == "edge-fer")
    print(sh(f"systemd-analyze security --no-pager {SERVER}", quiet=True).splitlines()[-1])
    sh(f"systemctl disable --now {SERVER}")
    CONFIG.write_text(good)
    sh(f"systemctl reload {UNIT}")
    within(60, "without it, the CPU reads them as before", lambda: newest() == ("cpu", False))


def failures() -> None:
    head("failures that follow each other: longer and longer pauses, for ever; an order to start is obeyed at once")
    good, since = CONFIG.read_text(), time.time()
    CONFIG.write_text("capture: [nonsense\n")
    sh(f"systemctl --no-block restart {UNIT}")
    within(90, "it failed five times", lambda: "failed 5 times in a row" in journal(since))
    print("\n".join(line for line in journal(since).splitlines() if "in a row" in line or "expected" in line))
    CONFIG.write_text(good)
    start = time.monotonic()
    sh(f"systemctl restart {UNIT}")
    took = time.monotonic() - start
    expect(f"an order to start again ends the pause (up after {took:.1f} s)", is_active() and took < 10)


def no_camera() -> None:
    minutes = OPTIONS["minutes"]
    head(f"no camera for {minutes:g} minutes, then pictures without a face for {minutes:g}; lost, and back")
    configure(source=f"http://127.0.0.1:{STREAM_PORT}/")
    before = restarted()
    stay(minutes, before)
    expect("the same process waits for its camera", "waiting_for_camera" in show("StatusText"))
    command = ["/opt/edge-fer/current/bin/python", STREAM, str(STREAM_PORT)]
    for _ in range(2):
        count = len(readings())
        with subprocess.Popen(command) as stream:
            within(60, "readings come when the camera does", lambda count=count: len(readings()) > count + 30)
            stay(minutes if count == 0 else 0.1, before)
            print(show("StatusText"))
            stream.terminate()
        within(30, "a camera that is gone is missed", lambda: "waiting_for_camera" in show("StatusText"))
    faces = sum(len(reading["faces"]) for reading in readings())
    expect(f"{len(readings())} readings, {faces} faces in them, the same process", pid() == before and not faces)


def camera() -> None:
    head("a camera (vivid) that is plugged in after the start, unplugged, plugged in again")
    configure(source="0")
    before = restarted()
    within(60, "it waits for its camera", lambda: "waiting_for_camera" in show("StatusText"))
    sh("modprobe vivid n_devs=1 node_types=0x1 no_error_inj=1; udevadm settle; ls -l /dev/video0 /dev/media0")
    within(120, "readings come when the camera does", lambda: len(readings()) > 10)
    print(show("StatusText"))
    sh("echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind")
    within(60, "an unplugged camera is missed", lambda: "waiting_for_camera" in show("StatusText"))
    count = len(readings())
    sh("echo vivid.0 >/sys/bus/platform/drivers/vivid/bind; udevadm settle; ls -l /dev/video*")
    within(120, "readings come again", lambda: len(readings()) > count + 10)
    expect("from the same process", pid() == before)


def drop_ins() -> None:
    head("each drop-in: loaded, and the service starts with it although its device is not there")
    configure(source="sample", realtime=True, loop=True)
    for name in ALL.split(","):
        with_drop_ins(name)
    sh(f"systemctl show --property DropInPaths,DeviceAllow,SupplementaryGroups {UNIT}")
    without_drop_ins()
    expect("none is loaded", not show("DropInPaths"))


def with_drop_ins(names: str) -> None:
    before = pid()
    sh(f"{TREE}/deploy/install.sh --wheels /root/wheels --with {names}", quiet=True)
    within(START_S, f"up with {names}", lambda: is_settled() and pid() != before)
    expect("loaded", all(f"{name}.conf" in show("DropInPaths") for name in names.split(",")))


def without_drop_ins() -> None:
    before = pid()
    sh(f"{TREE}/deploy/install.sh --wheels /root/wheels --without {ALL}")
    within(START_S, "up without them", lambda: is_settled() and pid() != before)


def devices() -> None:
    head("what drop-ins open: a serial port that is plugged in later (ttyACM), a media device; nothing else")
    paths = ("/dev/ttyACM0", "/dev/media0", "/dev/video0", "/dev/vda")
    sh("modprobe vivid n_devs=1 node_types=0x1 no_error_inj=1")
    with_drop_ins("picamera2,mavlink-serial")
    sh(f"modprobe dummy_hcd; modprobe g_serial; sleep 5; udevadm settle; ls -l {' '.join(paths)}")
    found = may_open(*paths)
    expect("with drop-ins", found == dict(zip(paths, (True, True, True, False), strict=True)))
    without_drop_ins()
    found = may_open(*paths)
    expect("without drop-ins", found == dict(zip(paths, (False, False, True, False), strict=True)))


def root_directory() -> None:
    head("the service in another root (RootDirectory=), as on a Dev Board")
    drop_in = f"/etc/systemd/system/{UNIT}.d/dev-board.conf"
    since = time.time()
    sh(f"install -D -m 644 {TREE}/systemd/dev-board.conf {drop_in}; rm -f {READINGS}")
    sh(f"systemctl daemon-reload; systemctl restart {UNIT}")
    within(START_S, "up", is_settled)
    within(60, "there are readings", readings)
    expect("it runs in there", Path(f"/proc/{pid()}/root/second").exists())
    print(journal(since))
    sh(f"rm {drop_in}; systemctl daemon-reload; systemctl restart {UNIT}")
    within(START_S, "up without it", is_settled)


def upgrade() -> None:
    head("upgrade: a good version, then one that crashes, then one that never gets ready")
    for version, is_good in (("0.1.1", True), ("0.1.2", False), ("0.1.3", False)):
        before = in_use()
        start = time.monotonic()
        said = sh(f"{TREE}/deploy/upgrade.sh --wheels /root/wheels /root/versions/edge_fer-{version}-py3-none-any.whl")
        print(f"that took {time.monotonic() - start:.0f} s")
        if is_good:
            expect(f"{version} is in service", version in in_use() and "installed and in service" in said)
        else:
            expect("the version before is back", in_use() == before and "is back in service" in said)
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
    for step in OPTIONS["steps"]:
        globals()[step]()
    print("\nall is well", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["configure"]:
        configure(source="sample", realtime=True, loop=True)
        if OPTIONS["emulated"]:
            slow_down()
    else:
        main()
