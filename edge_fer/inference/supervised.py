"""A device that may fail and come back: a thread of its own opens it again until its answers are right.

    opening -> checked -> in service -> failed -> a recovery step, a pause -> opening ...

While the device is out of service `infer` raises at once; the caller has a second device for that. Opening, checking
and recovery happen in the supervisor's thread and block no caller. A device that is not in use is checked from time to
time, so that its loss is reported before the next face needs it. A child process that serves the device ends with the
thread that started it (see `edge_fer.process.worker`), which is the supervisor's, too.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, WorkerCrashed, WorkerError, WorkerTimeout
from edge_fer.inference import Backend, TensorSpec, check_inputs
from edge_fer.inference.edgetpu.recovery import STEP_S
from edge_fer.inference.recovery_attempt import Policy

STOP_S = 2 * STEP_S + 2
"""`close` waits so long for the thread to end, seconds, and raises when it has not. A recovery step is not cut short: a
port would stay switched off."""

_CHANGES = 32  # how many changes are kept until they are taken; of more, the newest
_PRESENCE_EVERY_S = 0.5  # how often to check whether the device was plugged in again
_CANCEL_EVERY_S = 0.1  # how often `wait_until_opened` checks whether to give up


ResultT = TypeVar("ResultT")


class Change(NamedTuple):
    """What happened to a device: `running` when it is in service again, else `degraded`; and a sentence."""

    state: Literal["running", "degraded"]
    message: str


class SupervisedDevice(Backend, Protocol):
    """What is known of a device that may fail and come back, beside its network; see `SupervisedBackend`."""

    @property
    def reason(self) -> str | None:
        """Why it is out of service; None while it is in service."""
        ...

    @property
    def changes(self) -> deque[Change]:
        """What happened to it since the caller last emptied this queue, oldest first."""
        ...

    @property
    def recovery(self) -> Mapping[str, int]:
        """How often each recovery step was tried, by its name."""
        ...

    def wait_until_opened(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Wait until the first attempt to open it is over, or until that is `cancelled`."""
        ...

    def mark_unhealthy(self, reason: str) -> None:
        """Take it out of service until it passes its check again."""
        ...


class SupervisedBackend(Closeable):
    """One network on a device that may fail at any time.

    For one thread at a time, beside the supervisor's own. The first attempt to open the device begins at once.

    Args:
        name: the device's name.
        inputs: what the network takes.
        outputs: what the network gives.
        connect: opens the device anew; its argument returns true when it should give up. Raises BackendError.
        check: raises BackendError when the device's answers are wrong.
        policy: what to do after a failure.
        presence: a value that changes when the device is plugged in again; None while it is unplugged.
        idle_s: a device that was not used for so long is checked, seconds; 0: never.
        work: what is done with it, for messages.

    Attributes:
        name: the device's name.
        inputs: what the network takes.
        outputs: what the network gives.
        reason: why the device is out of service; None while it is in service.
        changes: what happened to the device since the caller last emptied this queue, oldest first.
    """

    def __init__(
        self,
        name: str,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        connect: Callable[[Callable[[], bool]], Backend],
        check: Callable[[Backend], None],
        policy: Policy,
        presence: Callable[[], object] = lambda: None,
        idle_s: float = 0.0,
        work: str = "faces are read",
    ) -> None:
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self.reason: str | None = f"{name} is being opened"
        self.changes: deque[Change] = deque(maxlen=_CHANGES)
        self._connect, self._check, self._policy, self._presence = connect, check, policy, presence
        self._backend: Backend | None = None
        self._idle_s, self._work = idle_s or None, work
        self._in_use, self._used = threading.Lock(), False  # a check never runs beside `infer`
        self._reset_may_help = False  # as far as is known
        self._stopping, self._opened, self._failed = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._run, name=f"supervisor {name}", daemon=True)
        self._thread.start()

    def wait_until_opened(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Wait until the first attempt to open the device is over, or until it is `cancelled`."""
        while not self._opened.wait(_CANCEL_EVERY_S) and not cancelled():
            pass

    @property
    def recovery(self) -> dict[str, int]:
        """How often each recovery step was tried, by its name."""
        return dict(self._policy.counts)

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the network once; see `edge_fer.inference.Backend.infer`.

        Raises:
            BackendError: when the device is out of service, or fails now; the supervisor then brings it back.
        """
        check_inputs(self.name, inputs, self.inputs)
        return self.use(lambda backend: backend.infer(*inputs))

    def use(self, work: Callable[[Backend], ResultT]) -> ResultT:
        """Do something with the device while nobody else does.

        Args:
            work: is given the device as it was connected.

        Raises:
            BackendError: see `infer`.
        """
        backend = self._backend
        if backend is None:
            raise BackendError(self.reason or f"{self.name} is away")
        with self._in_use:
            if self._backend is not backend:  # it failed a check while this call waited
                raise BackendError(self.reason or f"{self.name} is away")
            self._used = True
            try:
                return work(backend)
            except BackendError as error:
                self.mark_unhealthy(str(error))
                raise

    def mark_unhealthy(self, reason: str) -> None:
        """Take the device out of service until it passes its check again."""
        self.reason = reason
        self._backend = None
        self._failed.set()

    def close(self) -> None:
        """End the supervisor and give the device back.

        Raises:
            BackendError: when that does not end in time.
        """
        self._stopping.set()
        self.mark_unhealthy(f"expected an open backend, found {self.name} closed; open it again")
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise BackendError(f"expected {self.name} to be given back within {STOP_S:g} s, found it stuck; unplug it")

    def _run(self) -> None:
        try:
            while not self._stopped():
                reason = self._serve()
                if not self._stopping.is_set():
                    self._recover(reason)
        except Exception as error:  # a fault of this program: the CPU goes on, and the status says why
            self.reason = f"{self.name} is given up: {type(error).__name__}: {error}"
            self._backend = None
            self.changes.append(Change("degraded", self.reason))
            raise
        finally:
            self._opened.set()

    def _serve(self) -> str:
        """Open the device and keep it until it fails.

        Returns:
            Why it failed.
        """
        opened = False
        try:
            with closing(self._connect(self._stopping.is_set)) as backend:
                opened = True
                self._verify(backend)
                self._enter_service(backend)
                self._watch(backend)
                return self.reason or "it failed"
        except BackendError as error:
            # A missing library, or a device that another program holds, is an error before the device is open.
            self._reset_may_help |= isinstance(
                error.__cause__, WorkerError if opened else (WorkerCrashed, WorkerTimeout)
            )
            return str(error)
        finally:
            self._backend = None

    def _watch(self, backend: Backend) -> None:
        """Wait until the device fails.

        Raises:
            BackendError: when it fails a check while it is idle.
        """
        while not self._failed.wait(self._idle_s):
            with self._in_use:
                if not self._used:
                    self._check_idle(backend)
                self._used = False

    def _check_idle(self, backend: Backend) -> None:
        try:
            self._check(backend)
        except BackendError as error:
            self.mark_unhealthy(str(error))  # before it is closed, which may take a while
            raise

    def _stopped(self) -> bool:
        """Whether to end. Clears the last failure first, since `close` sets the two events in the other order."""
        self._failed.clear()
        return self._stopping.is_set()

    def _verify(self, backend: Backend) -> None:
        check_kinds(self.name, backend, self.inputs, self.outputs)
        self._check(backend)

    def _enter_service(self, backend: Backend) -> None:
        self._policy.succeeded()
        self._reset_may_help = True
        self._backend = backend
        self.reason = None
        if self._opened.is_set():
            self.changes.append(Change("running", f"{self.name} is back and answers rightly"))
        self._opened.set()

    def _recover(self, reason: str) -> None:
        """Report why, do the next recovery step, and wait until its pause is over or the device is plugged in."""
        self.reason = reason
        why = reason.removeprefix(f"{self.name}: ")
        self.changes.append(Change("degraded", f"{self._work} without {self.name}: {why}"))
        self._opened.set()
        before = self._presence()
        attempt = self._policy.failed(reset_may_help=self._reset_may_help)
        self.changes.append(Change("degraded", f"{self.name} is away: {attempt.text}"))
        end = time.monotonic() + attempt.pause_s
        while (left := end - time.monotonic()) > 0 and not self._stopping.wait(min(left, _PRESENCE_EVERY_S)):
            now = self._presence()
            if now not in (None, before):
                if attempt.name == "parked":  # before that, a step may have renumbered it, and it would never be parked
                    self._policy.start_over()
                return
            before = before if now is None else now


def check_kinds(name: str, backend: Backend, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Check that a device takes and gives what its network should.

    Args:
        name: the device's name, for messages.
        backend: the network on it.
        inputs: what the network should take.
        outputs: what it should give.

    Raises:
        BackendError: when it does not.
    """
    expected, found = (inputs, outputs), (backend.inputs, backend.outputs)
    if [[*map(_kind, specs)] for specs in expected] != [[*map(_kind, specs)] for specs in found]:
        raise BackendError(f"expected {name} to take and give {expected}, found {found}; compile it again")


def _kind(spec: TensorSpec) -> tuple[object, ...]:
    """All of a tensor but its name, which a compiler may change."""
    return spec.shape, spec.dtype, round(spec.scale, 7), spec.zero_point
