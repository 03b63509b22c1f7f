"""What the field programs of `edge-fer serve` share: a server process, a cable that breaks, and faces."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from typing_extensions import Self

from edge_fer.common.picture import enlarge
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.remote.backend import RemoteBackend, RemoteOptions
from edge_fer.inference.remote.connection import Server
from edge_fer.settings import ClassifySettings
from edge_fer.types import AlignedFace
from tests.support.resource_use import ResourceUse, resource_use

TOKEN = "a-token-of-the-field-programs"
MODEL, OTHER_MODEL = "lite", "se_resnet50"
START_S = 60.0
STORE = ModelStore()
SPEC = STORE.spec(MODEL, "classify")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def token_file(folder: Path) -> Path:
    path = folder / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


def face(number: int, spec: ClassifierSpec = SPEC) -> AlignedFace:
    """A face as a camera's come, another one for each number."""
    side = spec.crop.sampled_side(spec.input.size)
    sampled = np.random.default_rng(number).integers(0, 256, (side, side), np.uint8)
    return AlignedFace.of_crop(enlarge(sampled, spec.input.size), sampled)


def client_settings(port: int, folder: Path, deadline_ms: float, **changes: object) -> ClassifySettings:
    remote = {"token_file": token_file(folder), "deadline_ms": deadline_ms, "connect_s": 1.0}
    return ClassifySettings.model_validate({
        "model": MODEL, "backend": f"remote:127.0.0.1:{port}", "threads": 1, "retry_s": 0.02, "retry_max_s": 0.2,
        "steady_s": 0.0, "idle_s": 0.5, "remote": remote, **changes,
    })  # fmt: skip


class ServerProcess:
    """`edge-fer serve` in a process of its own.

    Args:
        folder: for its token, settings and log.
        port: to listen at.
        settings: further settings, as environment variables have them: `SERVE__MAX_CLIENTS`.
    """

    def __init__(self, folder: Path, port: int, **settings: object) -> None:
        self.port, self._folder, self._token = port, folder, token_file(folder)
        self._settings = {f"EDGE_FER_{name}": str(value) for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self, model: str = MODEL) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "edge_fer", "serve", "--listen", f"127.0.0.1:{self.port}", "--backend", "cpu",
                   "--model", model, "--format", "none"]  # fmt: skip
        environment = {**os.environ, "EDGE_FER_SERVE__TOKEN_FILE": str(self._token), "EDGE_FER_CLASSIFY__THREADS": "1",
                       **self._settings}  # fmt: skip
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.starts += 1
        wait_for(lambda: self.answers(model), START_S, "the server answers")

    def answers(self, model: str = MODEL) -> bool:
        sha256 = STORE.spec(model, "classify").sha256
        try:
            RemoteBackend(Server("127.0.0.1", self.port), sha256, options=RemoteOptions(TOKEN, 1.0, 1.0)).close()
        except RuntimeError:
            return False
        return True

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self._folder / "server.log").read_text()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> int:
        """End it as systemd does; its exit code."""
        assert self._process is not None
        self.thaw()
        self._process.terminate()
        return self._process.wait(30)

    def use(self) -> ResourceUse:
        return resource_use(self.pid)


def wait_for(is_so: Callable[[], object], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"expected within {seconds:g} s: {what}")
        time.sleep(0.01)


class Cable:
    """A connection to a port, through which things go wrong on demand.

    Args:
        port: where it leads to.
        seed: of the garbage.

    Attributes:
        port: where it begins.
        delay_s: how long each direction takes, seconds.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self.delay_s = 0.0
        self._target, self._random = port, random.Random(seed)
        self._fault: str | None = None
        self._spoil_greetings = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cable", daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def break_once(self, fault: str) -> None:
        """Let the next thing that comes through go wrong: cut, reset, half, garbage, garbage_up or trickle."""
        self._fault = fault

    def spoil_greetings(self, count: int) -> None:
        """Let so many of the next greetings be of another version."""
        self._spoil_greetings = count

    @property
    def armed(self) -> bool:
        return self._fault is not None

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        wire = _Wire(self, writer, far_writer)
        tasks = [asyncio.create_task(work) for work in (
            wire.pump(reader, up=True), wire.pump(far_reader, up=False), wire.send(far_writer, up=True),
            wire.send(writer, up=False),
        )]  # fmt: skip
        try:
            await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
            if wire.is_cut:
                await tasks[0]  # the client has to give up
            await asyncio.sleep(self.delay_s + 0.05)
        except asyncio.CancelledError:
            return
        finally:
            for task in tasks:
                task.cancel()
            for one in (writer, far_writer):
                one.close()

    def take_fault(self, *, up: bool) -> str | None:
        """The fault that befalls what comes through now, if any."""
        if self._fault is None or (self._fault == "garbage_up") != up:
            return None
        fault, self._fault = self._fault, None
        return fault

    def take_spoiled_greeting(self) -> bool:
        """Whether this greeting is one of another version."""
        self._spoil_greetings -= (is_spoiled := self._spoil_greetings > 0)
        return is_spoiled

    def garbage(self, count: int) -> bytes:
        return self._random.randbytes(count)


class _Wire:
    """One connection through a cable."""

    def __init__(self, cable: Cable, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.is_cut = False
        self._cable, self._near, self._far = cable, near, far
        self._is_greeted = False
        self._sending: dict[bool, asyncio.Queue[tuple[float, bytes]]] = {up: asyncio.Queue() for up in (True, False)}

    async def pump(self, reader: asyncio.StreamReader, *, up: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if not up and not self._is_greeted:
                    self._is_greeted = True
                    if self._cable.take_spoiled_greeting():
                        data = data[:4] + bytes([data[4] + 1]) + data[5:]
                data = await self._spoil(data, self._cable.take_fault(up=up))
                if data and not self.is_cut:
                    self._sending[up].put_nowait((time.monotonic() + self._cable.delay_s, data))

    async def send(self, writer: asyncio.StreamWriter, *, up: bool) -> None:
        while True:
            due, data = await self._sending[up].get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not writer.is_closing():
                writer.write(data)

    async def _spoil(self, data: bytes, fault: str | None) -> bytes:
        if fault is None:
            return data
        if fault.startswith("garbage"):
            return self._cable.garbage(len(data))
        if fault == "reset":
            self._near.transport.abort()
            self._far.transport.abort()
        elif fault == "half":
            self._near.write(data[: len(data) // 2])
        elif fault == "trickle":
            for value in data:
                self._near.write(bytes([value]))
                await asyncio.sleep(0.05)
            return b""
        self.is_cut = fault in {"cut", "half"}
        return b""


class Flood:
    """Clients that ask as fast as they can, with the token and without, and read nothing of what they get."""

    def __init__(self, port: int, spec: ClassifierSpec = SPEC) -> None:
        self._server, self._sha256 = Server("127.0.0.1", port), spec.sha256
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._ask, self._knock)]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join(20)

    def _ask(self) -> None:
        while not self._stopping.is_set():
            try:
                with RemoteBackend(self._server, self._sha256, options=RemoteOptions(TOKEN, 5.0, 2.0)) as backend:
                    blank = np.zeros(backend.inputs[0].shape, np.uint8)
                    while not self._stopping.is_set():
                        backend.infer(blank)
            except RuntimeError:
                self._stopping.wait(0.05)

    def _knock(self) -> None:
        while not self._stopping.is_set():
            with suppress(RuntimeError):
                RemoteBackend(self._server, self._sha256, options=RemoteOptions(None, 1.0, 1.0)).close()
            self._stopping.wait(0.02)
