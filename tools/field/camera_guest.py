"""Inside the machine of `tools/field/camera_vm.py`: a camera of the kernel's, plugged in and out.

Runs as root beside nothing else, with the system's Python and its standard library only. Prints each step; the last
line is `all is well`, or what is not.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

EDGE_FER = "/opt/edge-fer/bin/edge-fer"
DRIVER = Path("/sys/bus/platform/drivers/vivid")
REPLUGGED_S = 5.0
PATIENCE_S = 120.0
SMALL = {"EDGE_FER_CAPTURE__WIDTH": "320", "EDGE_FER_CAPTURE__HEIGHT": "180"}


def expect(what: str, holds: object) -> None:
    """Say that a promise was kept, or end."""
    if not holds:
        raise SystemExit(f"NOT as it should be: {what}")
    print(f"ok: {what}", flush=True)


def sh(command: str, **environment: str) -> str:
    """Run a shell command and show it; its output."""
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    said = (done.stdout + done.stderr).strip()
    shown = " ".join(f"{name}={value}" for name, value in environment.items())
    print(f"$ {shown} {command}\n{said}\n".replace("$  ", "$ "), flush=True)
    return said


class Run:
    """`edge-fer run`, whose records are read as they come."""

    def __init__(self, camera: str, **environment: str) -> None:
        self.records: list[tuple[float, dict[str, Any]]] = []
        self._process = subprocess.Popen(
            [EDGE_FER, "run", "--camera", camera, "--format", "json"],
            stdout=subprocess.PIPE, text=True, env={**os.environ, **environment},
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.records.append((time.monotonic(), json.loads(line)))

    def first(self, after: float, matches: Callable[[dict[str, Any]], bool]) -> tuple[float, dict[str, Any]]:
        """The first record since a moment that matches, and when it came; waits for it."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for at, record in list(self.records):
                if at >= after and matches(record):
                    return at, record
            time.sleep(0.02)
        raise SystemExit(f"NOT as it should be: no such record came; the last was {self.records[-1:]}")

    def stop(self) -> int:
        self._process.terminate()
        code = self._process.wait(PATIENCE_S)
        self._thread.join()
        return code


def is_reading(record: dict[str, Any]) -> bool:
    return str(record["schema"]).startswith("edge-fer/reading/")


def captured_since(moment: float) -> Callable[[dict[str, Any]], bool]:
    """Whether a record is a reading of a picture that was taken after a moment."""
    return lambda record: is_reading(record) and record["captured_ns"] > moment * 1e9


def is_away(record: dict[str, Any]) -> bool:
    return record.get("state") == "waiting_for_camera"


def plug(*, into: bool) -> None:
    """The device comes, or goes as if it were pulled out."""
    (DRIVER / ("bind" if into else "unbind")).write_text("vivid.0")


def listing() -> None:
    """The camera is listed with its formats and names."""
    shown = sh(f"{EDGE_FER} cameras | grep -v 'not read by'")
    for part in (
        "--camera 0",
        "--camera /dev/v4l/by-path/platform-vivid.0-video-index0",
        "YUYV",
        "320x180",
        "brightness",
    ):
        expect(f"the list has {part}", part in shown)


def wishes() -> None:
    """Formats, sizes and controls that it has, and that it has not."""
    reading = json.loads(sh(
        f"{EDGE_FER} run --camera 0 --format json --max-frames 3 | grep reading/ | tail -n 1",
        **SMALL, EDGE_FER_CAPTURE__FORMAT="NV12", EDGE_FER_CAPTURE__CONTROLS="{brightness: 200}",
    ))  # fmt: skip
    expect("it gives the size that was asked", reading["size"] == [320, 180])
    expect("frames are stamped by the driver", 0 < reading["age_ms"] < 10_000)
    refused = f"{EDGE_FER} run --camera 0 2>&1 >/dev/null"
    said = sh(refused, EDGE_FER_CAPTURE__FORMAT="MJPG")
    expect("a format that it has not is refused in one line", "it has no format MJPG, but" in said)
    said = sh(refused, EDGE_FER_CAPTURE__WIDTH="500")
    expect("so is a size", "it gives no picture of 500xany, but" in said)
    said = sh(refused, EDGE_FER_CAPTURE__CONTROLS="{zoom: 1}")
    expect("and a control", "it has no control zoom, but" in said)


def busy_and_replugged() -> None:
    """A camera that is in use; then one that is pulled out and put back in, thrice."""
    run = Run("/dev/video0", **SMALL)
    _, first = run.first(0.0, is_reading)
    print(json.dumps(first), flush=True)
    said = sh(f"{EDGE_FER} run --camera 0 2>&1 >/dev/null", **SMALL)
    expect("a camera in use is refused in one line", "another program reads from it" in said)
    for turn in range(3):
        pulled = time.monotonic()
        plug(into=False)
        heard, status = run.first(pulled, is_away)
        print(f"heard after {heard - pulled:.2f} s: {status['message']}", flush=True)
        time.sleep(4 * turn)
        expect("its node is gone", not Path("/dev/video0").exists())
        put_back = time.monotonic()
        plug(into=True)
        back, reading = run.first(put_back, captured_since(put_back))
        expect(f"a reading {back - put_back:.2f} s after it was put back", back - put_back < REPLUGGED_S)
        print(f"frame {reading['frame']}, {reading['age_ms']} ms old", flush=True)
        time.sleep(2)
    _, status = run.first(time.monotonic() - 1e9, lambda record: record.get("restarts", 0) >= 2)
    expect("restarts are counted", status["restarts"] >= 2)
    expect("the run ends well", run.stop() == 0)


def main() -> None:
    """All steps."""
    print(f"Linux {platform.release()}, {os.cpu_count()} processors, Python {platform.python_version()}", flush=True)
    sh("modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0 && udevadm settle && ls /dev/video*")
    for step in (listing, wishes, busy_and_replugged):
        print(f"\n## {step.__doc__}", flush=True)
        step()
    print("\nall is well", flush=True)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
