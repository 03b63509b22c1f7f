"""Which request is next: each client has one at most, and they take turns for the devices of a network."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass

from edge_fer.common.deadline import Deadline
from edge_fer.common.log_limit import LogLimit
from edge_fer.errors import BackendError
from edge_fer.inference import Backend
from edge_fer.inference.remote.messages import Answer, Cause, Refusal, Request
from edge_fer.serve.networks import Program, ServedNetwork, away

PATIENCE_S = 30.0
"""A device that takes longer for one request is stuck; on the slowest board that is known it takes 2 s."""

_CHECK_EVERY_S = 0.05  # whether a device that is away has come back, while requests wait

_log = logging.getLogger(__name__)
_log.addFilter(LogLimit())


@dataclass(slots=True)
class Job:
    """A request that waits for a device.

    Attributes:
        request: what the client has sent.
        program: what it is made into.
        due: when the client ceases to wait, seconds of the event loop's clock.
        reply: what the client gets.
    """

    request: Request
    program: Program
    due: float
    reply: asyncio.Future[Answer | Refusal]


class Dispatcher:
    """The requests of all clients of one network; in the event loop's thread.

    Those that wait are run in the order in which they came. A client sends its next request once it has its answer, and
    so comes after all others that wait.

    Args:
        network: the network.
        executor: has a thread for each of the network's devices.
        stage: times each inference; see `Monitor.stage`.
        deadline: of the inferences under way.
    """

    def __init__(
        self,
        network: ServedNetwork,
        executor: Executor,
        stage: Callable[[str], AbstractContextManager[None]],
        deadline: Deadline,
    ) -> None:
        self._network, self._executor, self._stage, self._deadline = network, executor, stage, deadline
        self._free = list(network.devices)
        self._waiting: asyncio.Queue[Job] = asyncio.Queue()
        self._freed = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, request: Request, program: Program) -> Answer | Refusal:
        """Wait for a device, and for its answer."""
        loop = asyncio.get_running_loop()
        job = Job(request, program, loop.time() + request.deadline_s, loop.create_future())
        self._waiting.put_nowait(job)
        return await job.reply

    async def run(self) -> None:
        """Hand requests to devices, until it is cancelled."""
        while True:
            job = await self._waiting.get()
            device = await self._next_device()
            task = asyncio.create_task(self._read(job, device))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _next_device(self) -> Backend:
        """Take a free device that is in service, waiting for one; any that is free while none is."""
        while True:
            ready = [device for device in self._network.devices if away(device) is None]
            device = next((one for one in self._free if one in ready or not ready), None)
            if device is not None:
                self._free.remove(device)
                return device
            self._freed.clear()
            try:
                await asyncio.wait_for(self._freed.wait(), _CHECK_EVERY_S)
            except asyncio.TimeoutError:
                continue

    async def _read(self, job: Job, device: Backend) -> None:
        loop = asyncio.get_running_loop()
        sequence = job.request.sequence
        try:
            if loop.time() >= job.due:
                reply: Answer | Refusal = Refusal(sequence, Cause.LATE, "no device was free before the deadline")
            else:
                reply = await loop.run_in_executor(self._executor, self._infer, job, device)
        finally:
            self._free.append(device)
            self._freed.set()
        if not job.reply.done():  # its client may be gone
            job.reply.set_result(reply)

    def _infer(self, job: Job, device: Backend) -> Answer | Refusal:
        """Run the network on a device; in one of the executor's threads."""
        sequence, started = job.request.sequence, time.monotonic()
        try:
            with self._stage("classify"), self._deadline.within(PATIENCE_S):
                outputs = device.infer(*job.program.prepare(job.request.arrays))
        except BackendError as error:
            return Refusal(sequence, Cause.AWAY, str(error))
        except Exception as error:  # a fault of this program, which must not end it
            _log.exception("serve: a request failed unexpectedly")
            return Refusal(sequence, Cause.AWAY, f"the server failed: {type(error).__name__}")
        return Answer(sequence, time.monotonic() - started, outputs)
