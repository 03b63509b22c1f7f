"""Real mosquitto brokers, readers and a breakable wire, for the tests of the MQTT sink."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
MOSQUITTO_SUB = shutil.which("mosquitto_sub")


def need_mosquitto() -> None:
    """Skip a test where there is no mosquitto; in CI that is a failure."""
    if MOSQUITTO is None or MOSQUITTO_SUB is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs mosquitto and mosquitto-clients")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(done: Callable[[], bool], seconds: float = 8.0, what: str = "") -> None:
    """Look until it is so."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or done}"
        time.sleep(0.005)


def answers(port: int) -> bool:
    """Whether somebody accepts connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Broker:
    """A mosquitto of its own port, folder and settings, that can be killed and started again.

    Args:
        folder: for its settings, database and log.
        lines: of its settings, beside port and folder.
        persistent: whether it keeps sessions and messages in its folder.
        anonymous: whether it asks nobody who he is.
    """

    def __init__(
        self, folder: Path, lines: tuple[str, ...] = (), *, persistent: bool = True, anonymous: bool = True
    ) -> None:
        self.port = free_port()
        self._log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        keeping = [f"persistence_location {folder}/", "autosave_interval 1800"] if persistent else []
        self._config.write_text(
            "\n".join(
                [
                    *(["user root"] if os.getuid() == 0 else []),
                    f"listener {self.port} 127.0.0.1",
                    f"allow_anonymous {str(anonymous).lower()}",
                    f"persistence {str(persistent).lower()}",
                    "max_queued_messages 0",
                    "log_type all",
                    *keeping,
                    *lines,
                ]
            )
            + "\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def log(self) -> str:
        """All that it said so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert MOSQUITTO is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", self._config], stdout=log, stderr=log)
        wait_until(lambda: answers(self.port), what="mosquitto answers")

    def kill(self, number: int = signal.SIGTERM) -> None:
        """End it by a signal, and wait for the end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def save(self) -> None:
        """Have it write its database now."""
        assert self._process is not None
        said = self.log.count("Saving in-memory database")
        self._process.send_signal(signal.SIGUSR1)
        wait_until(lambda: self.log.count("Saving in-memory database") > said, what="mosquitto saves")


class Reader:
    """A `mosquitto_sub`, a client that has nothing in common with the sink.

    Args:
        port: of the broker.
        topic: that it reads.
        folder: for what it read.
        options: of the command, beside these.
        session: name of a session that the broker keeps while it is away; null: none.
    """

    def __init__(
        self, port: int, topic: str, folder: Path, options: tuple[str, ...] = (), session: str | None = None
    ) -> None:
        assert MOSQUITTO_SUB is not None
        self._path = folder / f"read-{session or free_port()}"
        kept = ("-c", "-i", session) if session is not None else ()
        self._file = self._path.open("wb")
        command = [MOSQUITTO_SUB, "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-q", "2", "-F", "%r %t %p"]
        self._process = subprocess.Popen([*command, *kept, *options], stdout=self._file)

    @property
    def lines(self) -> list[tuple[bool, str, str]]:
        """Of each message whether it was retained, its topic, and its payload."""
        text = self._path.read_text()
        parts = (line.split(" ", 2) for line in text[: text.rfind("\n") + 1].splitlines())
        return [(retained == "1", topic, payload) for retained, topic, payload in parts]

    def payloads(self, topic: str) -> list[str]:
        """What came on a topic, in order."""
        return [payload for _, name, payload in self.lines if name == topic]

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
        self._file.close()


class Wire:
    """What stands between a client and a broker, and can be cut.

    Args:
        port: of the broker.

    Attributes:
        port: to connect to instead.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._whole = threading.Event()
        self._whole.set()
        self._closing = False
        self._cut_after = 0
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and refuse others until `mend`."""
        self._whole.clear()
        self._end()

    def cut_after(self, count: int) -> None:
        """Cut once so many further bytes have come from the client, and take new connections at once."""
        self._cut_after = count

    def mend(self) -> None:
        """Take connections again."""
        self._whole.set()

    def close(self) -> None:
        """End everything."""
        self._closing = True
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._end()

    def _end(self) -> None:
        for pair in list(self._pairs):
            for sock in pair:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._to), 2) if self._whole.is_set() else None
            except OSError:
                broker = None
            if broker is None:
                client.close()
                continue
            pair = (client, broker)
            self._pairs.append(pair)
            threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, client: socket.socket, broker: socket.socket) -> None:
        with client, broker, contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select([client, broker], [], [])
                for source in ready:
                    data = source.recv(4096)
                    if source is client:
                        data = self._until_cut(data)
                    if not data:
                        return
                    (broker if source is client else client).sendall(data)
        self._pairs.remove((client, broker))

    def _until_cut(self, data: bytes) -> bytes:
        """What still passes of what the client sent; nothing when the cut comes before it."""
        if not self._cut_after:
            return data
        passing = data[: self._cut_after - 1]
        self._cut_after = max(self._cut_after - len(data), 1)
        if self._cut_after == 1:
            self._cut_after, self.cuts = 0, self.cuts + 1
            self._end()
        return passing


@contextlib.contextmanager
def closing_all(*things: Broker | Reader | Wire) -> Iterator[None]:
    """Close each, whatever happens."""
    with contextlib.ExitStack() as stack:
        for thing in things:
            stack.callback(thing.kill if isinstance(thing, Broker) else thing.close)
        yield
