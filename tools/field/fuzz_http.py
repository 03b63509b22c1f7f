"""Strangers at the web page: `python -m tools.field.fuzz_http --seconds 60`.

Attacks `edge-fer run` with its page for some time, from one address: requests, chunked bodies, upgrades to WebSocket
and frames that are damaged at random, and connections that are held open, trickle or never read. Then the same with so
few file descriptors that connections cannot be accepted. Meanwhile its owner asks from another address, with the token.

Prints requests and answers, what the owner got and how long that took, the bytes of the log, tracebacks in it, and the
peak of memory. Exit code 0 when the run ended in order, the owner always got in (of a run without file descriptors:
afterwards), the log stayed below 64 KB without a traceback, and memory did not grow by more than 64 MB.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

TOKEN = "correct-horse-battery-staple"
OWNER, STRANGER = "127.0.0.2", "127.0.0.1"
FEW_FILES = 48
LOG_BYTES, GROWTH_KB = 65_536, 65_536
UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
BEARER = f"Authorization: Bearer {TOKEN}\r\n".encode()
REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + BEARER + b"\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nCookie: edge_fer_session=1.2.3\r\nAccept: text/html\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\nOrigin: null\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken=x",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    b"5\r\ntoken\r\n2\r\n=x\r\n0\r\nA: b\r\n\r\n",
    b"GET /readings HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n",
    b"GET /readings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n" + UPGRADE + b"\r\n",
    b"GET /live HTTP/1.1\r\nHost: localhost\r\n" + BEARER + b"\r\n",
)
FRAMES = (
    b"\x81\x85\0\0\0\0hello",
    b"\x89\x80\0\0\0\0",
    b"\x88\x82\0\0\0\0\x03\xe8",
    b"\x82\xfe\x04\x00\0\0\0\0" + b"x" * 1024,
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The same with some bytes changed, left out or put in; sometimes as it was."""
    content = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 5, 30))):
        at = rng.randrange(len(content) + 1)
        change = rng.randrange(4)
        if change == 0:
            content[at : at + 1] = rng.randbytes(1)
        elif change == 1:
            del content[at : at + rng.randint(1, 20)]
        else:
            content[at:at] = rng.randbytes(rng.randint(1, 30)) if change == 2 else b"\r\n"
    return bytes(content)


def request(connection: socket.socket, rng: random.Random) -> None:
    """One damaged request, and bytes behind it."""
    connection.sendall(damaged(rng.choice(REQUESTS), rng))
    if rng.random() < 0.3:
        connection.sendall(rng.randbytes(200))


def chunks(connection: socket.socket, rng: random.Random) -> None:
    """A body whose second chunk has a bad size, once the answer may be under way."""
    connection.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nt\r\n")
    time.sleep(rng.choice((0.0, 0.01)))
    connection.sendall(rng.choice((b"zz\r\n", b"-1\r\n", b"f" * 40 + b"\r\n", b"1;" + b"e" * 20_000)))


def frames(connection: socket.socket, rng: random.Random) -> None:
    """Damaged frames on a WebSocket that has the token."""
    connection.sendall(b"GET /readings HTTP/1.1\r\nHost: localhost\r\n" + BEARER + UPGRADE + b"\r\n")
    connection.recv(4096)
    for _ in range(rng.randint(1, 20)):
        connection.sendall(damaged(rng.choice(FRAMES), rng))


def pipeline(connection: socket.socket, rng: random.Random) -> None:
    """Many requests of which no answer is read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    for _ in range(rng.randint(10, 200)):
        connection.sendall(REQUESTS[1])


ATTACKS: tuple[Callable[[socket.socket, random.Random], None], ...] = (request, request, chunks, frames, pipeline)


class Attackers:
    """Threads that attack until they are told to end.

    Attributes:
        answers: what came back, by status or kind.
    """

    def __init__(self, port: int, seed: int, threads: int) -> None:
        self.answers: Counter[str] = Counter()
        self._port, self._ending = port, threading.Event()
        self._threads = [threading.Thread(target=self._attack, args=(seed + n,)) for n in range(threads)]
        self._threads.append(threading.Thread(target=self._hold, args=(seed,)))
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop, and wait for it."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _attack(self, seed: int) -> None:
        rng = random.Random(seed)
        while not self._ending.is_set():
            try:
                with socket.create_connection((STRANGER, self._port), 2, (STRANGER, 0)) as connection:
                    connection.settimeout(2)
                    rng.choice(ATTACKS)(connection, rng)
                    connection.settimeout(0.05)
                    answer = connection.recv(64)
                self.answers[answer[9:12].decode() if answer.startswith(b"HTTP") else "other" if answer else "end"] += 1
            except (OSError, UnicodeDecodeError) as error:
                self.answers[type(error).__name__] += 1

    def _hold(self, seed: int) -> None:
        """Open connections and hold them: silent, or with a request of which one byte comes now and then."""
        rng, held = random.Random(seed), []
        while not self._ending.wait(0.02):
            with suppress(OSError):  # it takes no more
                held.append(socket.create_connection((STRANGER, self._port), 2, (STRANGER, 0)))
                held[-1].sendall(rng.choice((b"", b"G", REQUESTS[5])))
            for connection in held:
                if rng.random() < 0.05:
                    with suppress(OSError):  # it has hung up
                        connection.sendall(b"x")
            while len(held) > 200:
                held.pop(0).close()
        for connection in held:
            connection.close()


def ask(port: int) -> tuple[int, float]:
    """What the owner gets, a status or 0, and after how many seconds."""
    start = time.monotonic()
    try:
        connection = HTTPConnection(OWNER, port, timeout=5, source_address=(OWNER, 0))
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Host": "localhost"})
        status = connection.getresponse().status
        connection.close()
    except (OSError, HTTPException):
        status = 0
    return status, time.monotonic() - start


def peak_kb(process: int) -> int:
    """The most memory that a process had, KB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def attack(folder: Path, seconds: float, seed: int, threads: int, files: int | None) -> bool:
    """One run under attack; whether all was well."""
    with socket.create_server(("0.0.0.0", 0)) as free:
        port = free.getsockname()[1]
    token, config, log = folder / "token", folder / "config.yaml", folder / "log"
    token.touch(0o600)
    token.write_text(TOKEN)
    http = {"enabled": True, "address": "0.0.0.0", "port": port, "token_file": str(token), "live": True}
    capture = {"source": "sample", "loop": True, "realtime": True}
    config.write_text(json.dumps({"capture": capture, "publish": {"format": "none", "keep_going": True, "http": http}}))
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_fer", "run", "--config", str(config)], stderr=stderr, stdout=subprocess.DEVNULL
        )
        while ask(port)[0] != 200:
            time.sleep(0.5)
        time.sleep(5)
        before_kb = peak_kb(process.pid)
        if files is not None:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (files, files))
        attackers = Attackers(port, seed, threads)
        asked, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            asked.append(ask(port))
            time.sleep(0.5)
        attackers.end()
        time.sleep(11)  # what is held open has ended by then
        if process.poll() is not None:
            print(f"the run has ended with {process.returncode}: {log.read_text(errors='replace')[-2000:]}")
            return False
        after, growth_kb = ask(port), peak_kb(process.pid) - before_kb
        process.terminate()
        code = process.wait(30)
    text = log.read_text(errors="replace")
    print(f"{sum(attackers.answers.values())} attacks: {dict(attackers.answers.most_common())}")
    statuses, slowest = Counter(status for status, _ in asked), max(took for _, took in asked)
    print(f"the owner: {dict(statuses)}, slowest {slowest:.2f} s; afterwards {after[0]}; exit code {code}")
    print(f"log: {len(text)} bytes, {text.count('Traceback')} tracebacks; memory grew by {growth_kb} KB")
    print("".join(f"  | {line[:160]}\n" for line in text.splitlines()[:40]), end="", flush=True)
    owner_is_well = after[0] == 200 and (files is not None or set(statuses) == {200})
    return owner_is_well and code == 0 and len(text) < LOG_BYTES and "Traceback" not in text and growth_kb < GROWTH_KB


def main() -> int:
    """Attack twice, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the two rounds")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    well = True
    for files in (None, FEW_FILES):
        print("with all file descriptors:" if files is None else f"with {files} file descriptors:", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            well &= attack(Path(folder), options.seconds, options.seed, options.threads, files)
    print("all is well" if well else "NOT as it should be")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
