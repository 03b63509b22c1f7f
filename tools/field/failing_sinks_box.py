"""The box of `failing_sinks.py`: `edge-fer run` with every sink, and beside them one that cannot fail.

What it publishes goes to a pipe, too, so that each status can be compared with the records before it:
`python -m tools.field.failing_sinks_box CONFIG DESCRIPTOR`. SIGUSR1 makes its standard output full, SIGUSR2 ends that.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

from edge_fer.publish import Sink
from edge_fer.publish.jsonl import JsonLines
from edge_fer.publish.stdout import Stdout
from edge_fer.schema import Record, to_json
from edge_fer.service import Service
from edge_fer.settings import Settings, load_settings
from edge_fer.status.logs import set_up_logs
from edge_fer.types import Image

ALLOWED = 3  # records that a sink has just taken may for a moment be counted as waiting, too


class Observer(Sink):
    """Writes each record to a pipe that is always read."""

    name = "observer"
    internal = True

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def publish(self, record: Record, image: Image | None) -> None:
        rest = to_json(record).encode() + b"\n"
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class Observed:
    """What the box has published, read in a thread.

    Args:
        descriptor: the pipe that the observer writes to.

    Attributes:
        states: of each sink, as the newest status says.
        reasons: why a sink is not ok, as the newest status says.
        made: records, by run.
        dropped: by run and sink.
        wrong: sinks whose counters did not add up to what was made, and by how much.
        ended: whether the box has ended.
    """

    def __init__(self, descriptor: int) -> None:
        self.states: dict[str, str] = {}
        self.reasons: dict[str, str | None] = {}
        self.made: Counter[str] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.wrong: Counter[str] = Counter()
        self.statuses = 0
        self.ended = threading.Event()
        self._readings: Counter[str] = Counter()
        self._carried: dict[tuple[str, str], int] = {}  # from the run before, by run and sink
        self._file = FileIO(descriptor, "r")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(20)
        self._file.close()

    def _read(self) -> None:
        with os.fdopen(os.dup(self._file.fileno()), "rb") as lines:
            for line in lines:
                record = json.loads(line)
                if record["schema"].startswith("edge-fer/status/"):
                    self._compare(record)
                elif record["schema"].startswith("edge-fer/reading/"):
                    self._readings[record["run"]] += 1
                self.made[record["run"]] += 1
        self.ended.set()

    def _compare(self, status: dict[str, Any]) -> None:
        """Compare the counters of a status with the records before it."""
        run = status["run"]
        for name, sink in status["sinks"].items():
            made = self._readings[run] if name == "recording" else self.made[run]
            too_many = sink["sent"] + sink["dropped"] + sink["waiting"] - made
            too_many -= self._carried.setdefault((run, name), too_many if name == "mqtt" else 0)
            if too_many < 0 or (too_many > ALLOWED and name != "http"):  # what web clients lose counts as dropped, too
                self.wrong[f"{name} {too_many:+d}"] += 1
            self.dropped[run, name] = sink["dropped"]
        self.states = {name: sink["state"] for name, sink in status["sinks"].items()}
        self.reasons = {name: sink["reason"] for name, sink in status["sinks"].items()}
        self.statuses += 1


class FifoReader:
    """Reads the box's standard output from a named pipe; can stop, go away, and come back.

    Args:
        path: the pipe, which is made.

    Attributes:
        lines: how many were read.
        torn: how many of them were no JSON.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self.lines = self.torn = 0
        self._reading = threading.Event()
        self._closing = False
        self._descriptor: int | None = None
        self._rest = b""
        self.come()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read nothing more."""
        self._reading.clear()

    def go(self) -> None:
        """Close the pipe."""
        self.stop()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
            self._rest = b""

    def come(self) -> None:
        """Read, and open the pipe again where it is closed."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        self._reading.set()

    def close(self) -> None:
        """End it."""
        self._closing = True
        self._reading.set()
        self._thread.join(5)
        self.go()

    def _run(self) -> None:
        while not self._closing:
            self._reading.wait()
            descriptor = self._descriptor
            try:
                data = os.read(descriptor, 65536) if descriptor is not None else b""
            except OSError:  # nothing there yet, or closed meanwhile
                data = b""
            if not data:
                threading.Event().wait(0.02)
                continue
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self.lines += 1
                self.torn += not is_json(line)


def is_json(line: bytes) -> bool:
    """Whether a line is a record."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def main() -> int:
    """Run the box."""
    config, descriptor = Path(sys.argv[1]), int(sys.argv[2])
    stdout, output, full = Stdout(), os.dup(1), os.open("/dev/full", os.O_WRONLY)
    signal.signal(signal.SIGUSR1, lambda *_: os.dup2(full, 1))
    signal.signal(signal.SIGUSR2, lambda *_: os.dup2(output, 1))
    set_up_logs("text")

    def load() -> Settings:
        return load_settings(config, {})

    def open_sinks(settings: Settings, is_stopping: Callable[[], bool]) -> list[Sink]:
        stdout.stopping = is_stopping
        return [JsonLines(stdout.write), Observer(descriptor)]

    return Service(load(), load, open_sinks).run()


if __name__ == "__main__":
    sys.exit(main())
