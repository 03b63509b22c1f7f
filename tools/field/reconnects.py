"""A stream that breaks off again and again: `python -m tools.field.reconnects --count 200`. Not part of the test suite.

An HTTP MJPEG server on loopback is stopped and started, hangs, or sends garbage, in turns; a camera reads it. Prints
threads, descriptors, children and memory of this process, and how long the camera took to come back. Exit code 0 when
none of them grew after the first tenth, and it was back within 3 s each time; else 1.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from edge_fer.capture.camera import Camera
from edge_fer.settings import CaptureSettings
from tests.capture.sources.test_sources import numbered_stream
from tests.support.mjpeg_server import MjpegServer
from tests.support.resource_use import ResourceUse, resource_use

TROUBLES = ("killed", "hung", "garbage")
RESUMED_S = 3.0
PATIENCE_S = 60.0
MEMORY_MIB = 8.0  # the allocator's play


def wait(camera: Camera, *, for_frame: bool) -> float:
    """Take frames until one comes, or until the camera is lost; seconds that it took."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_S:
        frame = camera.get(0.05)
        if (frame is not None) if for_frame else camera.state == "waiting_for_camera":
            return time.monotonic() - began
    raise SystemExit(f"NOT as it should be: nothing happened for {PATIENCE_S:g} s: {camera.condition}")


def break_off(stream: MjpegServer, camera: Camera, trouble: str) -> float:
    """Have the server fail until the camera has noticed; seconds from its recovery to the next frame."""
    if trouble == "killed":
        stream.stop()
    else:
        stream.behaviour = trouble
    wait(camera, for_frame=False)
    if trouble == "killed":
        stream.start()
    stream.behaviour = "good"
    return wait(camera, for_frame=True)


def main() -> int:
    """Break off so many times, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="how often the stream breaks off")
    options = parser.parse_args()
    took: dict[str, list[float]] = {trouble: [] for trouble in TROUBLES}
    looks = []
    with numbered_stream() as stream:
        camera = Camera(CaptureSettings(source=stream.url, read_timeout_s=0.5, open_timeout_s=2.0))
        camera.start()
        wait(camera, for_frame=True)
        for number in range(options.count):
            trouble = TROUBLES[number % len(TROUBLES)]
            took[trouble].append(break_off(stream, camera, trouble))
            time.sleep(0.05)  # the server's own threads of the former connection end
            looks.append(resource_use())
        restarts = camera.restarts
        camera.stop()
    after = resource_use()
    return judge(took, looks, after, restarts)


def judge(took: dict[str, list[float]], looks: list[ResourceUse], after: ResourceUse, restarts: int) -> int:
    """Print what happened; 0 when all is well."""
    tenth = max(len(looks) // 10, 1)
    early, late = looks[tenth : 2 * tenth] or looks, looks[-tenth:]
    well = True
    print(f"{len(looks)} times broken off, {restarts} times opened again")
    for trouble, times in took.items():
        if times:
            print(f"{trouble}: back after {statistics.median(times):.2f} s (median), {max(times):.2f} s (longest)")
            well &= max(times) < RESUMED_S
    for name in ("threads", "descriptors", "memfds", "children", "rss_mib"):
        first, last = (statistics.median(getattr(one, name) for one in some) for some in (early, late))
        print(f"{name}: {first:g} early, {last:g} late, {getattr(after, name):g} after the camera was stopped")
        well &= last <= first + (MEMORY_MIB if name == "rss_mib" else 0)
    print("all is well" if well else "NOT as it should be")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
