"""A day in ten minutes: `python -m tools.field.day --minutes 10 --every 3`. Not part of the test suite.

`edge-fer run` as a service would run it, with a camera on the network, an Edge TPU (tests/support/fake_edgetpu), a real
mosquitto, a file that is rotated, MAVLink and its web site. Every few seconds something breaks: a fault of each kind,
in random order, then each again. Ends with 1 unless

- after each fault everything was well again within 5 s of its end: `/healthz` says so, the Edge TPU reads faces, and
  such a reading has come over MQTT;
- readings were in order, and none was lost on the way to the broker or came out without being counted;
- the last tenth of the day holds no more memory, descriptors, threads or processes than the second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import cv2
import numpy as np

from tests.support.brokers import MOSQUITTO_SUB, Broker, Wire, closing_all, free_port
from tests.support.fake_edgetpu import FakeEdgeTpu, library, twin_store
from tests.support.held import Held, descendants, held
from tests.support.mjpeg_server import MjpegServer, jpeg, sample_jpegs
from tests.support.waiting import wait_until

FPS = 30.0
BROKEN_S = 1.5
WELL_S = 5.0
GROWTH = 0.02
TOPIC = "edge-fer/drone-7/reading"
HELD = ("rss_mib", "descriptors", "memfds", "threads", "children", "segments")


class Heard:
    """Records that come through a pipe, as they come.

    Args:
        lines: JSON, one record each.

    Attributes:
        readings: (run, frame) of each reading, in order.
        newest_ns: capture time of the last reading that an Edge TPU made.
        restarts: of the camera and of workers, by run.
        dropped: by the MQTT sink, by run.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.readings: list[tuple[str, int]] = []
        self.newest_ns = 0
        self.restarts: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self._lines = lines
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the pipe."""
        self._thread.join()

    def _listen(self) -> None:
        for line in self._lines:
            record = json.loads(line)
            if record["schema"].startswith("edge-fer/reading/"):
                self.readings.append((record["run"], record["frame"]))
                if not record["degraded"]:
                    self.newest_ns = record["captured_ns"]
            elif "mqtt" in record["sinks"]:
                self.restarts[record["run"]] = record["restarts"]
                self.dropped[record["run"]] = record["sinks"]["mqtt"]["dropped"]


class Day:
    """The box, everything that it is connected to, and what breaks.

    Args:
        folder: empty.
        stack: ends everything that is started here.
        pictures: of the camera, JPEG files.
    """

    def __init__(self, folder: Path, stack: ExitStack, pictures: list[bytes]) -> None:
        self._folder, self._stack = folder, stack
        small = [jpeg(cv2.resize(cv2.imdecode(np.frombuffer(file, np.uint8), 1), (320, 180))) for file in pictures[:90]]
        black = [jpeg(np.full((360, 640, 3), grey, np.uint8)) for grey in (0, 1)]
        clips = {"sample": pictures, "small": small, "black": black, "frozen": pictures[:1]}
        self.camera = stack.enter_context(MjpegServer(clips, FPS))
        self.tpu = stack.enter_context(FakeEdgeTpu(folder / "tpu").present())
        self.broker = Broker(folder)
        self.wire = Wire(self.broker.port)
        stack.enter_context(closing_all(self.broker, self.wire))
        self._http = free_port()
        self.log = folder / "log" / "readings.jsonl"
        (folder / "models").mkdir()
        (folder / "log").mkdir()
        twin_store(folder / "models")
        self._config = folder / "config.yaml"
        self.configure()
        self._reader, lines = self._start(MOSQUITTO_SUB, "-h", "127.0.0.1", "-p", str(self.broker.port), "-t", TOPIC,
                                           "-q", "1", "-c", "-i", "reader")  # fmt: skip
        self.over_mqtt = Heard(lines)
        wait_until(lambda: "Sending SUBACK" in self.broker.log)
        self._box, lines = self._start(sys.executable, "-m", "edge_fer", "run", "--config", self._config)
        self.out = Heard(lines)

    def configure(self, **more: object) -> None:
        """Write the settings, and others beside them."""
        settings = {
            "device": "drone-7", "models": str(self._folder / "models"),
            "capture": {"source": self.camera.url, "wait": True, "open_timeout_s": 2.0, "read_timeout_s": 1.0,
                        "frozen_s": 1.0, "blind_s": 0.5, "retry_s": 0.1, "retry_max_s": 0.5},
            "classify": {"backend": "edgetpu", "edgetpu_library": str(library()), "sysfs": str(self.tpu.sysfs),
                         "dev": str(self.tpu.dev), "deadline_ms": 200.0, "start_deadline_s": 2.0, "check_every": 10,
                         "retry_s": 0.05, "retry_max_s": 0.2, "park_s": 0.5, "steady_s": 0.5},
            "publish": {"format": "json", "keep_going": True,
                        "file": {"path": str(self.log), "max_mb": 0.5, "keep": 2},
                        "mqtt": {"host": "127.0.0.1", "port": self.wire.port, "retry_s": 0.1, "retry_max_s": 0.5},
                        "mavlink": {"url": f"udpout:127.0.0.1:{free_port()}"},
                        "http": {"enabled": True, "port": self._http, "live": True}},
            **more,
        }  # fmt: skip
        self._config.write_text(json.dumps(settings))

    def reload(self, text: str | None = None) -> None:
        """Have it read its settings again; other ones, or what is none."""
        if text is None:
            self.configure()
        else:
            self._config.write_text(text)
        self._box.send_signal(signal.SIGHUP)

    def child(self, *, edge_tpu: bool) -> int:
        """The process of the Edge TPU, or of the camera."""
        loaded = str(library()) if edge_tpu else "libavformat"
        found: list[int] = []

        def look() -> bool:
            found[:] = [pid for pid in descendants(self._box.pid) if loaded in _maps(pid)]
            return bool(found)

        wait_until(look, what="its process")
        return found[0]

    @property
    def is_well(self) -> bool:
        """Whether it says so itself."""
        try:
            with urlopen(f"http://127.0.0.1:{self._http}/healthz", timeout=1) as answer:
                return not json.loads(answer.read())["degraded"]
        except (URLError, ConnectionError, TimeoutError):  # 503, or it does not listen just now
            return False

    def wait_until_well(self, since_ns: int, seconds: float) -> float:
        """Until all of it works again; seconds that it took.

        Args:
            since_ns: a picture taken after this must have come out and over MQTT.
            seconds: to wait at most.
        """
        began = time.monotonic()
        heard = (self.out, self.over_mqtt)
        while time.monotonic() < began + seconds:
            if all(one.newest_ns > since_ns for one in heard) and self.log.exists() and self.is_well:
                break
            time.sleep(0.02)
        return time.monotonic() - began

    def look(self) -> Held:
        """What it and its processes hold."""
        return held(self._box.pid, family=True)

    @contextmanager
    def listener(self) -> Iterator[None]:
        """Somebody who asks for everything, and reads nothing."""
        with ExitStack() as stack:
            for path in ("/readings", "/live", "/metrics", "/"):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", self._http)))
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            yield

    def end(self) -> int:
        """End it as systemd would; its exit code."""
        self._box.terminate()
        code = self._box.wait(30)
        self.out.join()
        with suppress(AssertionError):  # `judge` finds what is missing
            wait_until(lambda: self.over_mqtt.readings[-1] == self.out.readings[-1])
        self._reader.terminate()
        self.over_mqtt.join()
        return code

    def _start(self, *command: str | Path | None) -> tuple[subprocess.Popen[bytes], Iterable[bytes]]:
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE)
        self._stack.callback(process.kill)
        assert process.stdout is not None
        return process, process.stdout


def _maps(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/maps").read_text()
    return ""


Fault = Callable[[Day], AbstractContextManager[None]]


def between(begin: Callable[[Day], object], end: Callable[[Day], object] = lambda _: None) -> Fault:
    """Something that breaks, and how it is mended."""

    @contextmanager
    def fault(day: Day) -> Iterator[None]:
        begin(day)
        yield
        end(day)

    return fault


def camera(behaviour: str) -> Fault:
    """It behaves otherwise for a while."""
    return between(
        lambda day: setattr(day.camera, "behaviour", behaviour), lambda day: setattr(day.camera, "behaviour", "sample")
    )


def child(number: int, *, edge_tpu: bool, load: str | None = None) -> Fault:
    """A process gets a signal; of an Edge TPU, also the next one may not start."""

    def begin(day: Day) -> None:
        if load is not None:
            day.tpu.fail("load", load)
        os.kill(day.child(edge_tpu=edge_tpu), number)

    return between(begin)


FAULTS: dict[str, Fault] = {
    "camera killed": between(lambda day: day.camera.stop(), lambda day: day.camera.start()),
    **{f"camera {how}": camera(how) for how in ("hung", "garbage", "black", "frozen", "small")},
    "camera's process killed": child(signal.SIGKILL, edge_tpu=False),
    "camera's process stopped": child(signal.SIGSTOP, edge_tpu=False),
    **{
        f"Edge TPU: {kind}": between(lambda day, kind=kind: day.tpu.fail("infer", kind, 60_000))
        for kind in ("error", "abort", "segfault", "hang", "garbage", "shape")
    },
    "Edge TPU's process killed": child(signal.SIGKILL, edge_tpu=True),
    "Edge TPU's process stopped": child(signal.SIGSTOP, edge_tpu=True),
    "Edge TPU refuses to start": child(signal.SIGKILL, edge_tpu=True, load="refuse"),
    "Edge TPU hangs at the start": child(signal.SIGKILL, edge_tpu=True, load="hang"),
    "broker restarted": between(lambda day: day.broker.kill(), lambda day: day.broker.start()),
    "broker cut off": between(lambda day: day.wire.cut(), lambda day: day.wire.mend()),
    "broker deaf": between(lambda day: day.wire.hold(), lambda day: day.wire.mend()),
    "file taken away": between(lambda day: day.log.replace(day.log.with_name("taken"))),
    "web clients that do not read": Day.listener,
    "bad settings": between(lambda day: day.reload("capture: {sauce: 0}"), lambda day: day.reload()),
    "settings read again": between(lambda day: day.reload()),
}


RESTARTING = {name for name in FAULTS if name.startswith(("camera", "Edge TPU"))} - {"camera black", "camera small"}
"""What costs a process: it is started anew, and counted."""


class Lived(NamedTuple):
    """What came of it.

    Attributes:
        took: by fault, how long after each it was felt, seconds.
        looks: what was held after each.
        uncounted: faults that cost a process, and that no status counted.
    """

    took: dict[str, list[float]]
    looks: list[Held]
    uncounted: list[str]


def live(day: Day, faults: list[str], minutes: float, every_s: float, seed: int) -> Lived:
    """Break things."""
    chosen, bag = random.Random(seed), list[str]()
    lived = Lived({name: [] for name in faults}, [], [])
    day.wait_until_well(0, 30)
    start = time.monotonic()
    for number in range(int(minutes * 60 / every_s)):
        bag = bag or chosen.sample(faults, len(faults))
        name, restarts = bag.pop(), sum(day.out.restarts.values())
        with FAULTS[name](day):
            time.sleep(BROKEN_S)
        seconds = day.wait_until_well(time.monotonic_ns(), WELL_S)
        lived.took[name].append(seconds)
        lived.looks.append(day.look())
        at, memory = time.monotonic() - start, lived.looks[-1].rss_mib
        print(f"{at:6.1f} s  {memory:6.1f} MiB  {name}, felt for {seconds:.2f} s", flush=True)
        time.sleep(max(0.0, start + (number + 1) * every_s - time.monotonic()))
        if name in RESTARTING and sum(day.out.restarts.values()) == restarts:
            lived.uncounted.append(name)
    return lived


def judge(day: Day, lived: Lived, code: int) -> int:
    """Print what happened; 0 when all is well."""
    print(f"{sum(day.out.restarts.values())} restarts; not counted: {', '.join(lived.uncounted) or 'none'}")
    kept = {"exit code 0": code == 0, "each fault counted": not lived.uncounted}
    kept |= {**judge_returns(lived.took), **judge_leaks(lived.looks), **judge_readings(day)}
    broken = [promise for promise, is_kept in kept.items() if not is_kept]
    print(f"NOT as it should be: {', '.join(broken)}" if broken else "all is well")
    return 1 if broken else 0


def judge_returns(took: dict[str, list[float]]) -> dict[str, bool]:
    """How long each kind of fault was felt."""
    for name, times in took.items():
        if times:
            print(f"{name}: {len(times)} times, felt for {statistics.median(times):.2f} s, {max(times):.2f} s at most")
    return {f"well again within {WELL_S:g} s": all(time < WELL_S for times in took.values() for time in times)}


def judge_leaks(looks: list[Held]) -> dict[str, bool]:
    """What was held early in the day, and late."""
    promises = {}
    tenth = max(len(looks) // 10, 1)
    for name in HELD:
        values = [getattr(look, name) for look in looks]
        early, late = statistics.median(values[tenth : 2 * tenth] or values), statistics.median(values[-tenth:])
        print(f"{name}: {early:g} early, {late:g} late, {max(values):g} at most")
        promises[f"no more {name}"] = late <= early * (1 + GROWTH if name == "rss_mib" else 1)
    return promises


def judge_readings(day: Day) -> dict[str, bool]:
    """What came out, and what of it came over MQTT."""
    out, over_mqtt = day.out.readings, list(dict.fromkeys(day.over_mqtt.readings))
    again = len(day.over_mqtt.readings) - len(over_mqtt)
    missing, dropped = len(set(out) - set(over_mqtt)), sum(day.out.dropped.values())
    print(f"{len(out)} readings in {len(day.out.dropped)} runs")
    print(f"over MQTT {again} of them came again, {missing} never; {dropped} were dropped and counted")
    runs = {run: number for number, run in enumerate(dict.fromkeys(run for run, _ in out))}

    def in_order(readings: list[tuple[str, int]]) -> bool:
        return readings == sorted(set(readings), key=lambda one: (runs[one[0]], one[1]))

    return {"readings in order": in_order(out), "in order over MQTT": in_order(over_mqtt),
            "all over MQTT, or counted": missing <= dropped}  # fmt: skip


def main() -> int:
    """Live through it, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=3.0, help="seconds from one fault to the next")
    parser.add_argument("--only", action="append", choices=FAULTS, help="this fault; may be repeated", metavar="FAULT")
    parser.add_argument("--seed", type=int, default=0, help="of their order")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        day = Day(Path(folder), stack, sample_jpegs())
        lived = live(day, options.only or sorted(FAULTS), options.minutes, options.every, options.seed)
        return judge(day, lived, day.end())


if __name__ == "__main__":
    sys.exit(main())
