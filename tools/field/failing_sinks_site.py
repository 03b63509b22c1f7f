"""The place where the box of `failing_sinks.py` stands: its small disk, its broker, its clients."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from pymavlink.dialects.v20 import common

from tests.support import ROOT
from tests.support.brokers import Broker, Wire, closing_all, free_port
from tests.support.mjpeg_server import MjpegServer, sample_jpegs
from tests.support.resource_use import ResourceUse, resource_use
from tools.field.failing_sinks_box import FifoReader, Observed, is_json

WITHOUT = "-dac_override,-dac_read_search"
"""Capabilities that the box lacks, so that permissions count for it as for any user."""

FPS = 10.0
DISK_MB = 48
KEEP_MB = 4
START_S = 5.0
"""So long the ports of the box are taken at the start, seconds."""


class Site:
    """The box and everything that it is connected to; the ports of its web site and of MAVLink are taken at first.

    Args:
        folder: an empty folder.
        stack: ends everything that is started here.

    Attributes:
        began: when, seconds of the monotonic clock.
        folder: where the small disk is mounted.
        observed: what the box publishes.
        reader: reads its standard output.
        broker: the MQTT broker.
        wire: what leads to it.
        speaks: cleared while the autopilot is silent.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        folder.chmod(0o755)
        self._home, self.folder = folder, folder / "stick"
        self.folder.mkdir()
        self.mount()
        stack.callback(self.unmount)
        self.broker = Broker(folder)
        self.wire = Wire(self.broker.port)
        stack.enter_context(closing_all(self.broker, self.wire))
        self._camera = stack.enter_context(MjpegServer({"sample": sample_jpegs()[::3]}, FPS))
        self.reader = FifoReader(folder / "stdout")
        stack.callback(self.reader.close)
        self.speaks = threading.Event()
        self.speaks.set()
        self._holders: list[socket.socket] = []
        self.take_ports()
        self._start(stack)
        threading.Thread(target=self._speak, daemon=True).start()
        self.began = time.monotonic()
        time.sleep(START_S)
        self.free_ports()

    def mount(self) -> None:
        """Mount a new disk, with its folders."""
        run("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", self.folder)
        for name in ("rec", "log"):
            self.make(name)

    def make(self, name: str) -> None:
        """Make one of the disk's folders."""
        (self.folder / name).mkdir(exist_ok=True)

    def unmount(self) -> None:
        """Take the disk away, whoever uses it."""
        with suppress(subprocess.CalledProcessError):
            run("umount", "-l", self.folder)

    def remove(self, name: str) -> None:
        """Remove one of the disk's folders, with all that is in it."""
        while (self.folder / name).exists():  # the box may make a file in it just now
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def signal(self, number: int) -> None:
        """Send the box a signal."""
        self._box.send_signal(number)

    def take_ports(self) -> None:
        """Choose new ports for the web site and MAVLink, and take them."""
        self._http, self._mavlink = free_port(), free_port()
        for kind, port in ((socket.SOCK_STREAM, self._http), (socket.SOCK_DGRAM, self._mavlink)):
            holder = socket.socket(socket.AF_INET, kind)
            holder.bind(("127.0.0.1", port))
            if kind == socket.SOCK_STREAM:
                holder.listen()
            self._holders.append(holder)
        self._configure()

    def free_ports(self) -> None:
        """Free the ports."""
        while self._holders:
            self._holders.pop().close()

    @property
    def http(self) -> int:
        """The port of the web site."""
        return self._http

    @property
    def not_ok(self) -> set[str]:
        """The sinks that are not ok, as the newest status says."""
        return {name for name, state in self.observed.states.items() if state != "ok"}

    @property
    def recorded_mb(self) -> float:
        """What all recordings take, megabytes."""
        sizes = []
        for path in self.folder.rglob("*.mkv"):
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return sum(sizes) / 1e6

    @property
    def log(self) -> str:
        """What the box has logged."""
        return (self._home / "box.log").read_text()

    def file_lines(self) -> tuple[int, int]:
        """How many lines the files of readings have, and how many of them are torn."""
        lines = [line for path in (self.folder / "log").iterdir() for line in path.read_bytes().splitlines()]
        return len(lines), sum(not is_json(line) for line in lines)

    def measure(self) -> ResourceUse:
        """The resources that the box uses."""
        return resource_use(self._box.pid, family=True)

    def end(self) -> int:
        """End the box as systemd would; its exit code."""
        if self._box.poll() is None:
            self._box.terminate()
        code = self._box.wait(40)
        self.observed.join()
        return code

    def _configure(self) -> None:
        settings = {
            "device": "drone-7",
            "capture": {"source": self._camera.url, "wait": True},
            "detect": {"size": 200}, "keyframe": {"every_ms": 2000}, "classify": {"backend": "fake"},
            "publish": {
                "keep_going": True,
                "record": f"{self.folder}/rec/%H/%M-%S.mkv", "record_segment": "5 s", "record_keep_mb": KEEP_MB,
                "file": {"path": f"{self.folder}/log/readings.jsonl", "max_mb": 0.5, "keep": 2},
                "mqtt": {"host": "127.0.0.1", "port": self.wire.port, "retry_s": 0.1, "retry_max_s": 1,
                         "keepalive_s": 2, "buffer_mb": 0.2},
                "http": {"enabled": True, "port": self._http},
                "mavlink": {"url": f"udpin:127.0.0.1:{self._mavlink}", "retry_max_s": 1},
            },
        }  # fmt: skip
        (self._home / "config.yaml").write_text(json.dumps(settings))

    def _start(self, stack: ExitStack) -> None:
        reader, writer = os.pipe()
        output = os.open(self._home / "stdout", os.O_WRONLY)
        config = self._home / "config.yaml"
        with (self._home / "box.log").open("wb") as log:
            self._box = subprocess.Popen(
                ["setpriv", f"--bounding-set={WITHOUT}", sys.executable, "-m", "tools.field.failing_sinks_box", config,
                 str(writer)],
                stdout=output, stderr=log, pass_fds=(writer,), cwd=ROOT,
            )  # fmt: skip
        stack.callback(self._box.kill)
        os.close(writer)
        os.close(output)
        self.observed = Observed(reader)

    def _speak(self) -> None:
        """The autopilot's heartbeats."""
        speaker = common.MAVLink(None, srcSystem=1, srcComponent=1)
        beat = common.MAVLink_heartbeat_message(2, 3, 0, 0, 4, 3)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            while not self.observed.ended.is_set():
                if self.speaks.is_set():
                    sock.sendto(beat.pack(speaker), ("127.0.0.1", self._mavlink))
                time.sleep(0.5)


def run(*command: object) -> None:
    """Run one of the system's commands."""
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
