"""Cameras: which there are, whether the user may open them, and what uses them; and picamera2 for ribbon cables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_fer.capture.listing import NO_CAMERAS, RIBBON
from edge_fer.doctor.finding import Finding, fail, ok, warn
from edge_fer.doctor.host import Host
from edge_fer.doctor.permissions import how_to_open, udev_rule

_RULE = udev_rule('SUBSYSTEM=="video4linux"', group="video")
_PYTHON = "usr/bin/python3"  # picamera2 runs under the system's Python, and need not be in our environment
_PICAMERA2_S = 10.0
_APT = "sudo apt install python3-picamera2"


def check_cameras(host: Host) -> Iterator[Finding]:
    """Check every camera that the kernel knows, and picamera2."""
    nodes = [(path.name, host.read(path / "name") or "unnamed") for path in _captures(host)]
    cameras = [(node, name) for node, name in nodes if not name.startswith((*RIBBON, *NO_CAMERAS))]
    ribbon = [name for _, name in nodes if name.startswith(RIBBON)]
    for node, name in cameras:
        yield _check_camera(host, host.path(f"dev/{node}"), name)
    if ribbon:
        yield ok(f"a camera on the ribbon cable ({ribbon[0]}): use --camera picamera2")
    if not cameras and not ribbon:
        yield ok("no camera: pictures, videos and streams can be read")
    yield _check_picamera2(host, needed=bool(ribbon))


def _captures(host: Host) -> list[Path]:
    """The first video node of each device; the other nodes of a USB camera give metadata."""
    nodes = host.paths("sys/class/video4linux/video*")
    nodes.sort(key=lambda path: int(path.name.removeprefix("video")))
    return [path for path in nodes if host.read(path / "index") == "0"]


def _check_camera(host: Host, device: Path, name: str) -> Finding:
    found = f"/dev/{device.name}: {name}"
    if not device.exists():
        return fail(f"{found}, whose device is missing", f"in a container: --device /dev/{device.name}")
    if not host.may_open(device):
        return fail(f"{found}, which {host.user} may not open", how_to_open(host, device, _RULE))
    if users := host.users_of(f"/dev/{device.name}"):
        return warn(f"{found}, held by {', '.join(users)}", "end that program if the camera cannot be read")
    return ok(found)


def _check_picamera2(host: Host, *, needed: bool) -> Finding:
    """Check whether the system's Python can import picamera2; only a camera on a ribbon cable needs it."""
    answer = host.run(_PYTHON, "-I", "-c", "import picamera2; print(picamera2.__file__)", timeout_s=_PICAMERA2_S)
    if answer.ok:
        return ok(f"picamera2 for /{_PYTHON}: {answer.text}")
    if not needed:
        return ok("no picamera2, and no camera that needs it")
    if "No module named 'picamera2'" in answer.text:  # one in our own environment would not help
        return fail(f"no picamera2 for /{_PYTHON}, and the camera on the ribbon cable needs it", _APT)
    return fail(
        f"picamera2 cannot be imported by /{_PYTHON}: {answer.text}",
        f"{_APT} python3-libcamera, and sudo pip uninstall whatever was installed over the system's packages",
    )
