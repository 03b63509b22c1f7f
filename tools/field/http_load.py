"""Whether those who watch cost frames: the loop's rate with and without clients, in turn.

`python -m tools.field.http_load`. `edge-fer run` reads the sample clip, served over and over as a stream of 30 frames
a second, as a camera would deliver them, or, with `--flat-out`, faster than the loop takes them. A second process
listens to its readings: 50 clients that read, and 5 that do not. Prints the median rate with them and without them.
Exit code 1 when they differ by more than 5 %, when a client that reads lost a reading, or when nothing was lost to
those that do not.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from tests.support.mjpeg_server import MjpegServer, sample_jpegs

ALLOWED = 0.05
REQUEST = b"GET /readings HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def listen(port: int, clients: int, slow: int) -> None:
    """Be the clients: until standard input ends; then print how many readings each got, and what it lost."""
    selector = selectors.DefaultSelector()
    sockets = []
    for number in range(clients + slow):
        connection = socket.socket()
        if number >= clients:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(REQUEST)
        sockets.append(connection)
        if number < clients:
            selector.register(connection, selectors.EVENT_READ, number)
    selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
    readings, losses = [0] * clients, 0
    while True:
        for key, _ in selector.select():
            if key.data is None:
                print(json.dumps({"least": min(readings), "most": max(readings), "losses": losses}))
                return
            data = sockets[key.data].recv(1 << 20)
            readings[key.data] += data.count(b"event: reading")
            losses += data.count(b'"lost":') - data.count(b'"lost":0')


class Run:
    """`edge-fer run` with its site."""

    def __init__(self, folder: Path, source: str, port: int) -> None:
        config = folder / "config.yaml"
        config.write_text(
            json.dumps({"capture": {"source": source}, "publish": {"http": {"enabled": True, "port": port}}})
        )
        command = [sys.executable, "-m", "edge_fer", "run", "--config", str(config), "--format", "json"]
        self.port, self._process = port, subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def metric(self, name: str) -> float:
        """One of its metrics."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))

    def rate(self, seconds: float) -> tuple[float, float]:
        """Readings a second, for a while, and the processor time of each, milliseconds, all threads together."""
        names = ("edge_fer_readings_total", "process_cpu_seconds_total")
        before, start = [self.metric(name) for name in names], time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - start
        readings, cpu_s = (self.metric(name) - value for name, value in zip(names, before, strict=True))
        return readings / took, cpu_s * 1e3 / max(readings, 1)

    def wait(self, name: str, value: float) -> None:
        """Until one of its metrics is as large as that."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with suppress(OSError):  # it does not listen yet
                if self.metric(name) >= value:
                    return
            time.sleep(0.2)
        raise SystemExit(f"expected {name} to reach {value:g} within a minute")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)


def main() -> int:
    """Measure, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--slow", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=12, help="of one measurement without clients and one with them")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--flat-out", action="store_true", help="frames come faster than the loop takes them")
    parser.add_argument("--be-clients", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_clients:
        listen(options.be_clients, options.clients, options.slow)
        return 0
    fps = 200.0 if options.flat_out else 30.0
    camera = MjpegServer({"sample": sample_jpegs()}, fps)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), camera.url, port)
        try:
            run.wait("edge_fer_readings_total", 30)
            return judge(run, options)
        finally:
            run.close()


def judge(run: Run, options: argparse.Namespace) -> int:
    """Print what happened; 0 when all is well."""
    alone, watched, heard = [], [], []
    command = [sys.executable, "-m", "tools.field.http_load", "--be-clients", str(run.port)]
    command += ["--clients", str(options.clients), "--slow", str(options.slow)]
    for _ in range(options.rounds):
        alone.append(run.rate(options.seconds))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
            run.wait("edge_fer_http_streams", options.clients + options.slow)
            watched.append(run.rate(options.seconds))
            heard.append(json.loads(clients.communicate("\n")[0]))
        told = (f"{fps:.2f} FPS, {cpu_ms:.1f} ms of processor time each" for fps, cpu_ms in (alone[-1], watched[-1]))
        print(f"alone {next(told)}; watched {next(told)}; {heard[-1]}", flush=True)
    before, after = (statistics.median(fps for fps, _ in measured) for measured in (alone, watched))
    # Of pairs one after the other, as other programs may come and go meanwhile.
    change = statistics.median(after[0] / before[0] for before, after in zip(alone, watched, strict=True)) - 1
    lost = run.metric("edge_fer_http_lost_messages_total")
    print(
        f"medians: alone {before:.2f} FPS, watched by {options.clients} and {options.slow} slow ones {after:.2f} FPS "
        f"({change:+.2%}); the slow ones lost {lost:.0f} messages"
    )
    well = abs(change) <= ALLOWED and not any(each["losses"] for each in heard) and lost > 0
    print("all is well" if well else "NOT as it should be")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
