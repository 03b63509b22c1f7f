"""The box of `day.py`, with everything that it is connected to."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import cv2
import numpy as np

from tests.support.brokers import MOSQUITTO_SUB, Broker, Wire, closing_all, free_port
from tests.support.fake_edgetpu import COMPILED, FakeEdgeTpu, library, twin_store
from tests.support.mjpeg_server import MjpegServer, jpeg
from tests.support.resource_use import ResourceUse, descendants, resource_use
from tests.support.waiting import wait_until

FPS = 30.0
TOPIC = "edge-fer/drone-7/reading"


class ReceivedRecords:
    """Records that come through a pipe, read in a thread.

    Args:
        lines: one record each, JSON.

    Attributes:
        readings: (run, frame) of each reading, in order.
        newest_ns: capture time of the last reading that an Edge TPU made, CLOCK_MONOTONIC, nanoseconds.
        restarts: restarts of the camera and of workers, by run.
        dropped: records that the MQTT sink has dropped, by run.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.readings: list[tuple[str, int]] = []
        self.newest_ns = 0
        self.restarts: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self._lines = lines
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the pipe."""
        self._thread.join()

    def _read(self) -> None:
        for line in self._lines:
            record = json.loads(line)
            if record["schema"].startswith("edge-fer/reading/"):
                self.readings.append((record["run"], record["frame"]))
                if not record["degraded"]:
                    self.newest_ns = record["captured_ns"]
            elif record["schema"].startswith("edge-fer/status/") and "mqtt" in record["sinks"]:
                self.restarts[record["run"]] = record["restarts"]
                self.dropped[record["run"]] = record["sinks"]["mqtt"]["dropped"]


class Day:
    """The box, and everything that it is connected to.

    Args:
        folder: an empty folder.
        stack: ends everything that is started here.
        pictures: the camera's pictures, JPEG files.
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
        self.over_mqtt = ReceivedRecords(lines)
        wait_until(lambda: "Sending SUBACK" in self.broker.log)
        self._window_s = 5.0
        self._box, lines = self._start(sys.executable, "-m", "edge_fer", "run", "--config", self._config)
        self.out = ReceivedRecords(lines)

    def configure(self, **more: object) -> None:
        """Write the settings.

        Args:
            more: further settings.
        """
        settings = {
            "device": "drone-7", "models": str(self._folder / "models"),
            "capture": {"source": self.camera.url, "wait": True, "open_timeout_s": 2.0, "read_timeout_s": 1.0,
                        "frozen_s": 1.0, "blind_s": 0.5, "retry_s": 0.1, "retry_max_s": 0.5},
            "classify": {"backend": "edgetpu", "model": COMPILED, "edgetpu_library": str(library()),
                         "sysfs": str(self.tpu.sysfs),
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
        """Let the box read its settings again.

        Args:
            text: other content of the file; None: settings that differ a little, as the same ones would change nothing.
        """
        if text is None:
            self._window_s = 11.0 - self._window_s
            self.configure(monitor={"window_s": self._window_s})
        else:
            self._config.write_text(text)
        self._box.send_signal(signal.SIGHUP)

    def child(self, *, edge_tpu: bool) -> int:
        """Process id of the Edge TPU's child process, or of the camera's."""
        loaded = str(library()) if edge_tpu else "libavformat"
        found: list[int] = []

        def find() -> bool:
            found[:] = [pid for pid in descendants(self._box.pid) if loaded in _maps(pid)]
            return bool(found)

        wait_until(find, what="its process")
        return found[0]

    @property
    def is_healthy(self) -> bool:
        """Whether /healthz says that it is healthy and not degraded."""
        try:
            with urlopen(f"http://127.0.0.1:{self._http}/healthz", timeout=1) as answer:
                return not json.loads(answer.read())["degraded"]
        except (URLError, ConnectionError, TimeoutError):  # 503, or it does not listen just now
            return False

    def wait_until_healthy(self, since_ns: int, seconds: float) -> float:
        """Wait until everything works again.

        Args:
            since_ns: a reading of a picture from after this must have come from both outputs, CLOCK_MONOTONIC, ns.
            seconds: how long to wait at most.

        Returns:
            How long it took, seconds.
        """
        began = time.monotonic()
        outputs = (self.out, self.over_mqtt)
        while time.monotonic() < began + seconds:
            if all(one.newest_ns > since_ns for one in outputs) and self.log.exists() and self.is_healthy:
                break
            time.sleep(0.02)
        return time.monotonic() - began

    def measure(self) -> ResourceUse:
        """The resources that the box and its child processes use."""
        return resource_use(self._box.pid, family=True)

    @contextmanager
    def listener(self) -> Iterator[None]:
        """Web clients that request everything, and read nothing."""
        with ExitStack() as stack:
            for path in ("/readings", "/live", "/metrics", "/"):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", self._http)))
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            yield

    def end(self) -> int:
        """End the box as systemd would; its exit code."""
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
