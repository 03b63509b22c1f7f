"""A device that goes away and comes back: opened again by a thread of its own until it answers rightly.

    opening -> checked -> in service -> failed -> climb the ladder, wait -> opening ...

While it is away `infer` raises at once; whoever calls has a second device for that. Opening, checking and
recovering all happen in the supervisor's thread and hold up nobody. A device that nobody uses is checked now and then,
so that its loss is told before the next face needs it. It also is the thread that a child process lives
as long as (see `edge_fer.process.worker`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, WorkerCrashed, WorkerError, WorkerTimeout
from edge_fer.inference import Backend, TensorSpec, check_input
from edge_fer.inference.edgetpu.recovery import RUNG_S, Ladder

STOP_S = 2 * RUNG_S + 2
"""`close` waits so long for the thread to end, and raises when it has not. A rung is not cut short: a port would stay
switched off."""

_CHANGES = 32  # remembered until they are asked for; of more, the newest
_LOOK_S = 0.5  # how often a device that is waited for is looked for
_SLICE_S = 0.1  # how often `settle` looks whether to give up


class Change(NamedTuple):
    """What happened to a device: `running` when it is in service again, else `degraded`; and a sentence."""

    state: Literal["running", "degraded"]
    message: str


class SupervisedBackend(Closeable):
    """One network on a device that may fail at any time.

    Used by one thread at a time, beside the supervisor's own. The first attempt to open the device begins at
    once.

    Args:
        name: of the device.
        input_spec: of the network.
        outputs: of the network.
        connect: opens the device anew; is given what to ask whether to give up. Raises BackendError.
        check: raises BackendError when the device's answers are wrong.
        ladder: what to do after a failure.
        presence: something that changes when the device is plugged in again; null while it is not there.
        idle_s: a device that nobody used for so long is checked, seconds; 0: never.

    Attributes:
        name: of the device.
        input: of the network.
        outputs: of the network.
        reason: why the device is away; null while it is in service.
        changes: all that happened since somebody took it from here, oldest first.
    """

    def __init__(
        self,
        name: str,
        input_spec: TensorSpec,
        outputs: tuple[TensorSpec, ...],
        connect: Callable[[Callable[[], bool]], Backend],
        check: Callable[[Backend], None],
        ladder: Ladder,
        presence: Callable[[], object] = lambda: None,
        idle_s: float = 0.0,
    ) -> None:
        self.name, self.input, self.outputs = name, input_spec, outputs
        self.reason: str | None = f"{name} is being opened"
        self.changes: deque[Change] = deque(maxlen=_CHANGES)
        self._connect, self._check, self._ladder, self._presence = connect, check, ladder, presence
        self._backend: Backend | None = None
        self._idle_s = idle_s or None
        self._turn, self._used = threading.Lock(), False  # a check takes turns with `infer`
        self._mendable = False  # by a reset, as far as is known
        self._stopping, self._settled, self._failed = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._run, name=f"supervisor {name}", daemon=True)
        self._thread.start()

    def settle(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Wait until the first attempt to open the device is over, or until it is `cancelled`."""
        while not self._settled.wait(_SLICE_S) and not cancelled():
            pass

    @property
    def recovery(self) -> dict[str, int]:
        """How often each rung of the ladder was tried."""
        return dict(self._ladder.counts)

    def infer(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the network once; see `edge_fer.inference.Backend.infer`.

        Raises:
            BackendError: when the device is away, or fails now; the supervisor then brings it back.
        """
        check_input(self.name, batch, self.input)
        backend = self._backend
        if backend is None:
            raise BackendError(self.reason or f"{self.name} is away")
        with self._turn:
            if self._backend is not backend:  # it failed a check while this face waited
                raise BackendError(self.reason or f"{self.name} is away")
            self._used = True
            try:
                return backend.infer(batch)
            except BackendError as error:
                self.distrust(str(error))
                raise

    def distrust(self, reason: str) -> None:
        """Take the device out of service until it has proved itself again."""
        self.reason = reason
        self._backend = None
        self._failed.set()

    def close(self) -> None:
        """End the supervisor and give the device back.

        Raises:
            BackendError: when that does not end in time.
        """
        self._stopping.set()
        self.distrust(f"expected an open backend, found {self.name} closed; open it again")
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise BackendError(f"expected {self.name} to be given back within {STOP_S:g} s, found it stuck; unplug it")

    def _run(self) -> None:
        try:
            while not self._stopped():
                reason = self._serve()
                if not self._stopping.is_set():
                    self._recover(reason)
        except Exception as error:  # a fault of this program; the CPU goes on, and everybody is told
            self.reason = f"{self.name} is given up: {type(error).__name__}: {error}"
            self._backend = None
            self.changes.append(Change("degraded", self.reason))
            raise
        finally:
            self._settled.set()

    def _serve(self) -> str:
        """Open the device and keep it until it fails; why it did."""
        opened = False
        try:
            with closing(self._connect(self._stopping.is_set)) as backend:
                opened = True
                self._prove(backend)
                self._enter_service(backend)
                self._watch(backend)
                return self.reason or "it failed"
        except BackendError as error:
            # A library that is missing or a device that another program holds is told of by an error before it is open.
            self._mendable |= isinstance(error.__cause__, WorkerError if opened else (WorkerCrashed, WorkerTimeout))
            return str(error)
        finally:
            self._backend = None

    def _watch(self, backend: Backend) -> None:
        """Wait until it fails.

        Raises:
            BackendError: when it fails a check while nobody uses it.
        """
        while not self._failed.wait(self._idle_s):
            with self._turn:
                if not self._used:
                    self._check_idle(backend)
                self._used = False

    def _check_idle(self, backend: Backend) -> None:
        try:
            self._check(backend)
        except BackendError as error:
            self.distrust(str(error))  # before it is closed, which may take a while
            raise

    def _stopped(self) -> bool:
        """Whether to end; before that, the last failure is forgotten. `close` sets the two in the other order."""
        self._failed.clear()
        return self._stopping.is_set()

    def _prove(self, backend: Backend) -> None:
        expected, found = (self.input, *self.outputs), (backend.input, *backend.outputs)
        if [_kind(spec) for spec in expected] != [_kind(spec) for spec in found]:
            raise BackendError(f"expected {self.name} to take and give {expected}, found {found}; compile it again")
        self._check(backend)

    def _enter_service(self, backend: Backend) -> None:
        self._ladder.succeeded()
        self._mendable = True
        self._backend = backend
        self.reason = None
        if self._settled.is_set():
            self.changes.append(Change("running", f"{self.name} is back and answers rightly"))
        self._settled.set()

    def _recover(self, reason: str) -> None:
        """Say what happened, climb the ladder, and wait for it to help or for the device to be plugged in again."""
        self.reason = reason
        why = reason.removeprefix(f"{self.name}: ")
        self.changes.append(Change("degraded", f"faces are read without {self.name}: {why}"))
        self._settled.set()
        before = self._presence()
        step = self._ladder.failed(mendable=self._mendable)
        self.changes.append(Change("degraded", f"{self.name} is away: {step.text}"))
        end = time.monotonic() + step.pause_s
        while (left := end - time.monotonic()) > 0 and not self._stopping.wait(min(left, _LOOK_S)):
            now = self._presence()
            if now not in (None, before):
                if step.name == "parked":  # before that, a rung may have renumbered it, and it would never be parked
                    self._ladder.begin()
                return
            before = before if now is None else now


def _kind(spec: TensorSpec) -> tuple[object, ...]:
    """All of a tensor but its name."""
    return spec.shape, spec.dtype, round(spec.scale, 7), spec.zero_point
