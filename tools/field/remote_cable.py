"""A cable between two programs, through which things go wrong on demand."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import suppress
from types import TracebackType

from typing_extensions import Self


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
        with suppress(OSError):  # an end that breaks off ends the connection, as an orderly one does
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
