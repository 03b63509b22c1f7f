"""The cameras of this machine, what each offers and how to name it: what `edge-fer cameras` prints.

Devices are examined in child processes: a driver may block, and picamera2 needs the system's interpreter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from edge_fer.capture.sources.picamera2 import CHILD, ENVIRONMENT
from edge_fer.capture.sources.v4l2.mode import READABLE
from edge_fer.errors import WorkerError
from edge_fer.process.reply import Reply
from edge_fer.process.worker import Worker

_START_S = 20.0  # loading OpenCV or picamera2 takes seconds on a cold SD card
_DESCRIBE_S = 5.0
_V4L2_CHILD = "edge_fer.capture.sources.v4l2.child:Listing"

RIBBON = ("unicam", "rp1-cfe")
"""Drivers of a Pi's ribbon cameras: they give raw pixels, which only libcamera makes pictures of."""

NO_CAMERAS = ("bcm2835-codec", "bcm2835-isp", "pispbe", "rpi-hevc-dec", "rpivid")
"""Drivers of a Pi's codecs and image processors, which have video nodes, too."""


class _Size(Reply):
    width: int
    height: int
    smallest: Annotated[list[int], Field(min_length=2, max_length=2)] | None
    step: list[int]
    rates: list[float]


class _Format(Reply):
    name: str
    sizes: list[_Size]


class _Control(Reply):
    name: str
    id: int | None = None
    kind: str | None = None
    smallest: int
    largest: int
    step: int | None = None
    default: int


class _V4l2Camera(Reply):
    """What the child says of a V4L2 camera."""

    name: str
    driver: str
    bus: str
    formats: list[_Format]
    controls: list[_Control]


class _Mode(Reply):
    format: str
    size: list[int]
    fps: float | None


class _Picamera2Camera(Reply):
    """What the child says of a camera of picamera2: why it cannot be opened, or what it offers."""

    number: int
    name: str
    id: str
    error: str | None = None
    modes: list[_Mode] = Field([])
    controls: dict[str, Annotated[list[str], Field(min_length=3, max_length=3)]] = Field({})


class _Picamera2Cameras(Reply):
    cameras: list[_Picamera2Camera]


def list_cameras(python: str, dev: Path = Path("/dev")) -> list[dict[str, Any]]:
    """All cameras, V4L2's first.

    Args:
        python: path of the interpreter that has picamera2.
        dev: folder of the device nodes.

    Returns:
        For each camera `sources`, the names that `--camera` takes, and the description from its child process, see
        `v4l2/child.py` and `picamera2_child.py`; or `error`, the reason why there is none.
    """
    return [*_v4l2(dev), *_picamera2(python)]


def _v4l2(dev: Path) -> Iterator[dict[str, Any]]:
    nodes = [path for path in dev.glob("video*") if path.name.removeprefix("video").isdigit()]
    links = {path: path.resolve() for path in (*dev.glob("v4l/by-id/*"), *dev.glob("v4l/by-path/*"))}
    for node in sorted(nodes, key=lambda path: int(path.name.removeprefix("video"))):
        found = _describe(node)
        if found is not None and not str(found.get("driver")).startswith((*RIBBON, *NO_CAMERAS)):
            aliases = sorted(str(link) for link, target in links.items() if target == node.resolve())
            yield {"sources": [node.name.removeprefix("video"), str(node), *aliases], **found}


def _describe(node: Path) -> dict[str, Any] | None:
    """The description of a device node; None when it is no camera."""
    with Worker(_V4L2_CHILD, name=str(node)) as worker:
        try:
            worker.start(_START_S)
            found = _V4l2Camera.of(worker.call("describe", deadline_s=_DESCRIBE_S, path=str(node)))
            return found.model_dump(exclude_unset=True)
        except WorkerError as error:
            reason = str(error)
    return None if reason.startswith("it takes no pictures") else {"error": reason}


def _picamera2(python: str) -> Iterator[dict[str, Any]]:
    """The cameras that picamera2 finds; without picamera2, none."""
    with Worker(f"{CHILD}:Listing", name="picamera2", python=python, environment=ENVIRONMENT) as worker:
        try:
            worker.start(_START_S)
            found = _Picamera2Cameras.of(worker.call("describe", deadline_s=_START_S))
        except WorkerError as error:
            if "No module named" not in str(error) and "cannot start a child process" not in str(error):
                yield {"sources": ["picamera2"], "error": str(error)}
            return
    for camera in found.cameras:
        names = ["picamera2"] * (camera.number == 0) + [f"picamera2:{camera.number}"]
        yield {"sources": names, **camera.model_dump(exclude_unset=True)}


def to_text(cameras: list[dict[str, Any]]) -> str:
    """The cameras as text for a person.

    Args:
        cameras: what `list_cameras` returned.
    """
    if not cameras:
        return "no camera: plug one in; on a Raspberry Pi's ribbon cable: sudo apt install python3-picamera2"
    return "\n\n".join("\n".join(_lines(one)) for one in cameras)


def _lines(camera: dict[str, Any]) -> Iterator[str]:
    where = ", ".join(str(camera[key]) for key in ("driver", "bus", "id") if camera.get(key))
    yield f"{camera.get('name', 'a camera')}" + (f" ({where})" if where else "")
    yield from (f"  --camera {source}" for source in camera["sources"])
    if "error" in camera:
        yield f"  cannot be opened: {camera['error']}"
    for one in camera.get("formats", ()):
        unread = "" if one["name"] in READABLE else "  (not read by edge-fer)"
        yield f"  {one['name']:8} {', '.join(map(_size, one['sizes']))}{unread}"
    for one in camera.get("modes", ()):
        size = " " + "x".join(map(str, one["size"])) if one["size"] else ""
        yield f"  sensor   {one['format']}{size}" + (f" at {one['fps']:g}" if one["fps"] else "")
    controls = camera.get("controls", ())
    if isinstance(controls, dict):  # libcamera's: name to lowest, highest, default
        yield from (f"  {name}: {low} to {high} ({default})" for name, (low, high, default) in controls.items())
    else:
        yield from (f"  {one['name']}: {one['smallest']} to {one['largest']} ({one['default']})" for one in controls)


def _size(size: dict[str, Any]) -> str:
    rates = "/".join(f"{rate:g}" for rate in size["rates"])
    least = f"{size['smallest'][0]}x{size['smallest'][1]} to " if size["smallest"] else ""
    return f"{least}{size['width']}x{size['height']}" + (f" at {rates}" if rates else "")
