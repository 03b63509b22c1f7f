"""Strangers who connect to `edge-fer serve`, while a client that knows the token goes on.

    make field-remote_strangers ARGS='--connections 200 --seconds 60'

Wrong tokens, none, garbage, frames that are too long, messages that trickle, TLS where there is none, and idle
connections by the hundred; all at once. Each is refused or ended and told in the log, the log stays short, and the
served client's faces are answered as before. Ends with 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

from edge_fer.common.tls import trust
from edge_fer.expression import ExpressionModel
from edge_fer.expression.classifier import open_network
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.remote import protocol
from edge_fer.inference.remote.backend import RemoteBackend, RemoteOptions
from edge_fer.inference.remote.connection import Server
from edge_fer.inference.remote.messages import Hello, Kind, Request
from edge_fer.inference.remote.protocol import HEADER_BYTES
from tools.field.remote_box import (
    MODEL,
    SPEC,
    STORE,
    TOKEN,
    ServerProcess,
    client_settings,
    face,
    free_port,
    wait_for,
)

PATIENCE_S = 15.0
BOUND = 32 + 32 + 16  # those that may wait, those that are accepted at a time, and those that are being closed
LOG_LINES = 120
MEMORY_MIB = 12.0
SLOWER = 5.0  # times that a face may take at the median while all strangers are there; they share two cores


class Strangers:
    """They come again and again, until they are told to stop.

    Args:
        port: of the server.
        idle: how many idle connections are held open.
    """

    def __init__(self, port: int, idle: int) -> None:
        self.came, self.unrefused = Counter[str](), Counter[str]()
        self._port, self._idle, self._stopping = port, idle, threading.Event()
        kinds: dict[str, Callable[[], bool]] = {
            "wrong token": self._wrong_token, "no token": self._no_token, "garbage": self._garbage,
            "too long": self._too_long, "trickle": self._trickle, "half a request": self._half_a_request,
            "TLS": self._tls,
        }  # fmt: skip
        self._threads = [threading.Thread(target=self._come, args=item, daemon=True) for item in kinds.items()]
        self._threads.append(threading.Thread(target=self._idle_about, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE_S)

    def _come(self, kind: str, try_it: Callable[[], bool]) -> None:
        while not self._stopping.is_set():
            self.came[kind] += 1
            try:
                self.unrefused[kind] += not try_it()
            except OSError:
                continue  # ended is refused; that it is up, the faces show
            finally:
                self._stopping.wait(0.05)

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)

    def _hello(self, token: str | None) -> bool:
        try:
            RemoteBackend(self._server, SPEC.sha256, options=RemoteOptions(token, 1.0, PATIENCE_S)).close()
        except RuntimeError:
            return True
        return False

    @property
    def _server(self) -> Server:
        return Server("127.0.0.1", self._port)

    def _wrong_token(self) -> bool:
        return self._hello("another token altogether")

    def _no_token(self) -> bool:
        return self._hello(None)

    def _tls(self) -> bool:
        try:
            server = Server("127.0.0.1", self._port, trust(None))
            RemoteBackend(server, SPEC.sha256, options=RemoteOptions(TOKEN, 1.0, PATIENCE_S)).close()
        except RuntimeError:
            return True
        return False

    def _garbage(self) -> bool:
        with self._connect() as sock:
            sock.sendall(random.randbytes(100_000))
            return ends(sock)

    def _too_long(self) -> bool:
        with self._connect() as sock:
            sock.sendall(protocol.hello(Hello("faces", bytes(32), bytes(32)))[:8] + b"\xff" * 4)
            with suppress(OSError):  # it has ended the connection
                while not self._stopping.is_set():
                    sock.sendall(bytes(1 << 16))
            return True

    def _trickle(self) -> bool:
        with self._connect() as sock:
            for value in protocol.hello(Hello("faces", bytes(32), bytes(32))):
                sock.sendall(bytes([value]))
                if self._stopping.wait(0.5):
                    return True
            return ends(sock)

    def _half_a_request(self) -> bool:
        """Who knows the token may misbehave, too."""
        with self._connect() as sock:
            nonce = exactly(sock, protocol.header(exactly(sock, HEADER_BYTES), Kind.GREETING).length)
            proof = protocol.prove(TOKEN, nonce)
            sock.sendall(protocol.hello(Hello("faces", bytes.fromhex(SPEC.sha256), proof)))
            head = protocol.header(exactly(sock, HEADER_BYTES), Kind.WELCOME, Kind.REFUSAL)
            exactly(sock, head.length)
            if head.kind is Kind.REFUSAL:  # too many wrong tokens from here
                return True
            sock.sendall(protocol.request(Request(1, 1.0, (face(1).sampled,)))[:1000])  # type: ignore[arg-type]
            return ends(sock)

    def _idle_about(self) -> None:
        held: list[socket.socket] = []
        while not self._stopping.is_set():
            held = [sock for sock in held if not has_ended(sock)]
            while len(held) < self._idle and not self._stopping.is_set():
                try:
                    held.append(self._connect())
                except OSError:  # it takes no more just now
                    self.came["idle, not let in"] += 1
                    break
                self.came["idle"] += 1
            self._stopping.wait(0.2)
        for sock in held:
            sock.close()


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data


def ends(sock: socket.socket) -> bool:
    """Whether the server ends the connection in time."""
    sock.settimeout(PATIENCE_S)
    try:
        while sock.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def has_ended(sock: socket.socket) -> bool:
    """Whether the server has ended the connection, which is then closed here, too."""
    sock.setblocking(False)
    try:
        with suppress(ConnectionError):  # reset, which is an end as well
            while sock.recv(1 << 12):
                pass
    except BlockingIOError:
        return False
    sock.close()
    return True


class Owner:
    """Has faces read as a run does, and by the CPU, too.

    Args:
        model: what the settings of a run open.
        twin: the same network on the CPU.
    """

    def __init__(self, model: ExpressionModel, twin: ExpressionModel) -> None:
        self._model, self._twin = model, twin
        self.faces = self.wrong = self.replaced = 0
        self.times_ms: dict[str, list[float]] = {}

    def ask(self, phase: str, seconds: float) -> None:
        """Go on for so long."""
        times = self.times_ms.setdefault(phase, [])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.faces += 1
            one = face(self.faces)
            began = time.monotonic()
            expression = self._model.classify(one)
            times.append((time.monotonic() - began) * 1e3)
            self.wrong += expression != self._twin.classify(one)
            self.replaced += expression.origin is None or expression.origin.reason is not None

    def median_ms(self, phase: str) -> float:
        """The median time of a face."""
        return median(self.times_ms[phase])


def serve(folder: Path, idle: int, seconds: float) -> tuple[dict[str, object], list[str]]:
    """What happened, and which promises were not kept."""
    server = ServerProcess(folder, free_port())
    server.start()
    settings = client_settings(server.port, folder, 4000.0, check_every=0)
    try:
        with open_network(STORE, MODEL) as twin, open_expression_model(settings, STORE) as model:
            owner, strangers = Owner(model, twin), Strangers(server.port, idle)
            before = server.use()
            owner.ask("before", seconds / 4)
            strangers.start()
            owner.ask("beside", seconds)
            there = server.use()
            strangers.stop()
            with suppress(TimeoutError):  # those who are too slow are ended
                wait_for(lambda: server.use().descriptors <= before.descriptors, 2 * PATIENCE_S, "they are gone")
            after = server.use()
    finally:
        code = server.end()
    log = server.log.splitlines()
    facts: dict[str, object] = {
        "faces": owner.faces, "wrong": owner.wrong, "read by the CPU": owner.replaced, "came": dict(strangers.came),
        "not refused": {kind: count for kind, count in strangers.unrefused.items() if count},
        "median_ms": {phase: round(owner.median_ms(phase), 2) for phase in owner.times_ms},
        "descriptors": [before.descriptors, there.descriptors, after.descriptors],
        "rss_mib": [round(use.rss_mib, 1) for use in (before, there, after)], "log_lines": len(log), "exit": code,
        "log": log[:12],
    }  # fmt: skip
    kept = {
        "each face as the CPU reads it": owner.wrong == 0,
        "no face was left to the CPU": owner.replaced == 0,
        "every stranger was refused or ended": not sum(strangers.unrefused.values()),
        "idle connections are bounded": there.descriptors <= before.descriptors + BOUND,
        "nothing is left of them": after.descriptors <= before.descriptors,
        "memory": after.rss_mib - before.rss_mib < MEMORY_MIB,
        f"at most {LOG_LINES} lines in the log": len(log) <= LOG_LINES,
        f"a face takes at most {SLOWER:g} times as long": (
            owner.median_ms("beside") <= SLOWER * owner.median_ms("before")
        ),
        "it ends when it is told to": code == 0,
    }
    return facts, [promise for promise, is_kept in kept.items() if not is_kept]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=200, help="idle ones")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    logging.getLogger("edge_fer").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        facts, problems = serve(Path(folder), options.connections, options.seconds)
    print(json.dumps(facts, indent=2))
    print("kept every promise" if not problems else f"NOT kept: {'; '.join(problems)}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
