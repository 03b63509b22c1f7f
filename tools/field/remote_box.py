"""What the field programs of `edge-fer serve` share: a server process, a client that floods it, and faces."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

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


def faketime() -> Path | None:
    """The library of Debian's package faketime, with which a process's wall clock jumps; None where it is missing."""
    return next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


class WallClock:
    """The wall clock of a process, which jumps when it is told to; CLOCK_MONOTONIC stays as it is.

    Args:
        file: that the library reads; it is made.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set("+0")

    @property
    def environment(self) -> dict[str, str]:
        """For a process with this clock; nothing where the library is missing."""
        library = faketime()
        if library is None:
            return {}
        return {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self._file), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # fmt: skip

    def set(self, offset: str) -> None:
        """Let it jump, such as by `+3d` or `-90m`."""
        self._file.write_text(offset)


class ServerProcess:
    """`edge-fer serve` in a process of its own.

    Args:
        folder: for its token, settings and log.
        port: to listen at.
        clock_jumps: whether its wall clock can be set, which costs it time.
        settings: further settings, as environment variables have them: `SERVE__MAX_CLIENTS`.
    """

    def __init__(self, folder: Path, port: int, *, clock_jumps: bool = False, **settings: object) -> None:
        self.port, self._folder, self._token = port, folder, token_file(folder)
        self._settings = {f"EDGE_FER_{name}": str(value) for name, value in settings.items()}
        self.clock = WallClock(folder / "clock")
        self._clock_environment = self.clock.environment if clock_jumps else {}
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self, model: str = MODEL) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "edge_fer", "serve", "--listen", f"127.0.0.1:{self.port}", "--backend", "cpu",
                   "--model", model, "--format", "none"]  # fmt: skip
        environment = {**os.environ, "EDGE_FER_SERVE__TOKEN_FILE": str(self._token), "EDGE_FER_CLASSIFY__THREADS": "1",
                       **self._settings, **self._clock_environment}  # fmt: skip
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
        # What libfaketime cannot remove of a killed process.
        for left in (f"faketime_shm_{self.pid}", f"sem.faketime_sem_{self.pid}"):
            Path("/dev/shm", left).unlink(missing_ok=True)

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
            with suppress(RuntimeError):  # it has no token, and is refused
                RemoteBackend(self._server, self._sha256, options=RemoteOptions(None, 1.0, 1.0)).close()
            self._stopping.wait(0.02)
