"""Real mosquitto brokers, their readers, and a connection that can be cut, for the tests of the MQTT sink."""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.debian import PATH, need_debian
from tests.support.waiting import wait_until

MOSQUITTO = shutil.which("mosquitto", path=PATH)
MOSQUITTO_SUB = shutil.which("mosquitto_sub")


def need_mosquitto() -> None:
    """Skip a test where there is no mosquitto; in CI that is a failure."""
    need_debian("mosquitto", "mosquitto-clients")


def free_port() -> int:
    """A free port of the loopback interface.

    It is below the ports that the kernel gives to clients: one of these could take it while a broker is away.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port


def answers(port: int) -> bool:
    """Whether a program accepts connections at a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Broker:
    """A mosquitto with its own port, folder and settings, which can be killed and started again.

    Args:
        folder: the folder for its settings, database and log.
        lines: lines of its settings, beside port and folder.
        persistent: whether it keeps sessions and messages in its folder.
        anonymous: whether clients need no user and password.
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
        """Its log so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert MOSQUITTO is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", self._config], stdout=log, stderr=log)
        wait_until(lambda: answers(self.port), what="mosquitto answers")

    def hold(self) -> None:
        """Suspend its process, until it is killed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self, number: int = signal.SIGTERM) -> None:
        """End it by a signal, and wait for the end."""
        if self._process is not None:
            _end(self._process, number)
        self._process = None

    def reload(self) -> None:
        """Let it read its settings, users and rules again."""
        assert self._process is not None
        said = self.log.count("Reloading config")
        self._process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log.count("Reloading config") > said, what="mosquitto reloads")


class Reader:
    """A `mosquitto_sub`: a client that shares no code with the sink.

    Args:
        port: the broker's port.
        topic: the topic that it subscribes to.
        folder: the folder for the messages that it has read.
        options: further options of the command.
        session: name of a session that the broker keeps while the reader is away; None: none.
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
        """For each message whether it was retained, its topic, and its payload."""
        text = self._path.read_text()
        parts = (line.split(" ", 2) for line in text[: text.rfind("\n") + 1].splitlines())
        return [(retained == "1", topic, payload) for retained, topic, payload in parts]

    def payloads(self, topic: str) -> list[str]:
        """What came on a topic, in order."""
        return [payload for _, name, payload in self.lines if name == topic]

    def close(self) -> None:
        """End it."""
        _end(self._process, signal.SIGTERM)
        self._file.close()


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    """End one of mosquitto's programs; while it starts it may ignore a signal, so the signal is repeated."""
    for _ in range(20):
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
            break
    process.wait(0)


class Wire:
    """A proxy between a client and a broker, which can be cut.

    Args:
        port: the broker's port.

    Attributes:
        port: the port for the client to connect to.
        cuts: how often `cut_after` has cut.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._whole = threading.Event()
        self._whole.set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._closing = False
        self._cut_after = self._cut_again = self._cut_bytes = 0
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and refuse others until `mend`."""
        self._whole.clear()
        self._end()

    def cut_after(self, count: int, times: int = 1) -> None:
        """Cut once the client has sent so many further bytes, and accept new connections at once.

        Args:
            count: bytes.
            times: how often, one after the other.
        """
        self._cut_after, self._cut_again = count, times - 1
        self._cut_bytes = count

    def hold(self) -> None:
        """Let nothing pass any more, without closing the connections."""
        self._flowing.clear()

    def mend(self) -> None:
        """Accept connections again, and let everything pass."""
        self._whole.set()
        self._flowing.set()

    def close(self) -> None:
        """End everything."""
        self._closing = True
        self._flowing.set()
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
                self._flowing.wait()
                for source in ready:
                    data = source.recv(4096)
                    if source is client:
                        data = self._until_cut(data)
                    if not data:
                        return
                    (broker if source is client else client).sendall(data)
        self._pairs.remove((client, broker))

    def _until_cut(self, data: bytes) -> bytes:
        """The part of the client's data that still passes; nothing when the cut comes before it."""
        if not self._cut_after:
            return data
        passing = data[: self._cut_after - 1]
        self._cut_after = max(self._cut_after - len(data), 1)
        if self._cut_after == 1:
            self._cut_after, self.cuts = self._cut_bytes if self._cut_again > 0 else 0, self.cuts + 1
            self._cut_again -= 1
            self._end()
        return passing


@contextlib.contextmanager
def scripted(*replies: bytes) -> Iterator[int]:
    """Run a fake broker that sends what mosquitto would not; yields its port.

    Args:
        replies: one for each connection, sent after the client's first packet, whatever that is; then nothing more is
            sent.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        clients: list[socket.socket] = []

        def answer() -> None:
            with contextlib.suppress(OSError):
                for reply in replies:
                    clients.append(server.accept()[0])
                    clients[-1].recv(1000)
                    clients[-1].sendall(reply)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for client in clients:
            client.close()


@contextlib.contextmanager
def closing_all(*things: Broker | Reader | Wire) -> Iterator[None]:
    """Close each of them in the end, whatever happens."""
    with contextlib.ExitStack() as stack:
        for thing in things:
            if isinstance(thing, Broker):
                stack.callback(thing.kill, signal.SIGKILL)
            else:
                stack.callback(thing.close)
        yield
