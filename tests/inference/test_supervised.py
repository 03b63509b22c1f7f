"""The supervisor, over devices in this process; tests/inference/edgetpu/test_edgetpu.py has it over a child process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fer.common.backoff import Backoff
from edge_fer.errors import BackendError, WorkerCrashed, WorkerError, WorkerFailed, WorkerTimeout
from edge_fer.inference import Backend, TensorSpec
from edge_fer.inference.edgetpu.recovery import RecoveryPolicy, RecoveryStep
from edge_fer.inference.fake import FakeBackend
from edge_fer.inference.supervised import SupervisedBackend

INPUT = TensorSpec("input", (1, 4), np.dtype(np.int8), 0.5, 3)
OUTPUT = TensorSpec("output", (1, 2), np.dtype(np.int8), 0.25, 0)
BATCH = np.zeros((1, 4), np.int8)


class Fragile(FakeBackend):
    """Fails when it is told to, and notes that it was closed."""

    def __init__(self, closed: list[str], output: TensorSpec = OUTPUT) -> None:
        super().__init__((INPUT,), (output,))
        self.broken = False
        self._closed = closed

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        if self.broken:
            raise BackendError("it broke")
        return super().infer(*inputs)

    def close(self) -> None:
        super().close()
        self._closed.append("closed")


def supervised(
    connect: Callable[[Callable[[], bool]], Backend], check: Callable[[Backend], None] = lambda _: None, **options: Any
) -> SupervisedBackend:
    pauses = {"park_s": 0.005, "steady_s": 0.0}
    pauses = {name: options.pop(name, usual) for name, usual in pauses.items()}
    policy = RecoveryPolicy(options.pop("steps", ()), Backoff(0.005, 0.005), **pauses)
    device = SupervisedBackend("stick", (INPUT,), (OUTPUT,), connect, check, policy, **options)
    device.wait_until_opened()
    return device


def until(true: Callable[[], bool]) -> bool:
    for _ in range(4000):
        if true():
            return True
        threading.Event().wait(0.005)
    return False


def test_each_device_that_failed_is_closed_before_the_next_is_opened() -> None:
    closed: list[str] = []
    opened: list[Fragile] = []

    def connect(_: Callable[[], bool]) -> Backend:
        assert len(closed) == len(opened)
        opened.append(Fragile(closed))
        return opened[-1]

    with supervised(connect) as device:
        for count in (1, 2, 3):
            assert until(lambda: device.reason is None)
            assert len(opened) == count
            device.infer(BATCH)
            opened[-1].broken = True
            with pytest.raises(BackendError, match="it broke"):
                device.infer(BATCH)
        assert until(lambda: device.reason is None)
    assert len(closed) == len(opened) == 4
    assert device.recovery == {"restart": 3}


def test_the_loss_of_a_device_that_nobody_uses_is_noticed() -> None:
    lost = threading.Event()
    checks: list[Backend] = []

    def check(backend: Backend) -> None:
        checks.append(backend)
        if lost.is_set():
            raise BackendError("it is gone")

    class Slow(Fragile):
        def close(self) -> None:
            told.append(device.reason)
            super().close()

    told: list[str | None] = []
    with supervised(lambda _: Slow([]), check, park_s=600, idle_s=0.005) as device:
        assert until(lambda: len(checks) > 2)
        assert device.reason is None
        lost.set()
        assert until(lambda: device.reason == "it is gone")
        with pytest.raises(BackendError, match="it is gone"):
            device.infer(BATCH)
    assert told[0] == "it is gone", "before it is closed, which may take a while"


def test_a_device_in_use_is_not_checked_beside() -> None:
    checks: list[Backend] = []
    with supervised(lambda _: Fragile([]), checks.append, idle_s=0.2) as device:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            device.infer(BATCH)
    assert len(checks) == 1, "before it was taken into service"


def test_while_it_is_away_it_says_why_at_once() -> None:
    def connect(_: Callable[[], bool]) -> Backend:
        raise BackendError("nobody there")

    with supervised(connect, park_s=600) as device:
        with pytest.raises(BackendError, match="nobody there"):
            device.infer(BATCH)
        assert until(lambda: device.recovery.get("parked") == 1)
    assert [change.state for change in device.changes] == ["degraded"] * 8


@pytest.mark.parametrize(
    "change", [{"shape": (1, 3)}, {"dtype": np.dtype(np.uint8)}, {"scale": 0.3}, {"zero_point": 1}]
)
def test_another_network_is_not_taken_into_service(change: dict[str, Any]) -> None:
    closed: list[str] = []
    fields = {name: getattr(OUTPUT, name) for name in ("name", "shape", "dtype", "scale", "zero_point")}
    with supervised(lambda _: Fragile(closed, TensorSpec(**{**fields, **change})), park_s=600) as device:
        assert "expected stick to take and give" in (device.reason or "")
        assert until(lambda: "parked" in device.recovery)
    assert len(closed) == 4


def test_a_plug_is_noticed_during_the_longest_pause() -> None:
    number: list[str | None] = [None]

    def connect(_: Callable[[], bool]) -> Backend:
        if number[0] is None:
            raise BackendError("unplugged")
        return Fragile([])

    with supervised(connect, park_s=600, presence=lambda: number[0]) as device:
        assert until(lambda: "parked" in device.recovery)
        number[0] = "8"
        assert until(lambda: device.reason is None)


def test_a_device_that_is_not_ready_when_it_is_plugged_in_is_not_parked_for_it() -> None:
    number: list[str | None] = [None]
    late = iter(["its node is not there yet", "nor now"])

    def connect(_: Callable[[], bool]) -> Backend:
        problem = "unplugged" if number[0] is None else next(late, None)
        if problem:
            raise BackendError(problem)
        return Fragile([])

    with supervised(connect, park_s=600, steady_s=600, presence=lambda: number[0]) as device:
        assert until(lambda: "parked" in device.recovery)
        number[0] = "8"
        assert until(lambda: device.reason is None)
        assert device.recovery == {"restart": 5, "parked": 1}


def failing(error: WorkerError) -> BackendError:
    """As a backend behind a child process fails."""
    failure = BackendError(str(error))
    failure.__cause__ = error
    return failure


@pytest.mark.parametrize(
    ("error", "opens", "resets"),
    [
        (WorkerFailed("another program holds it"), False, 0),
        (WorkerCrashed("it aborted"), False, 1),
        (WorkerTimeout("it hangs"), False, 1),
        (WorkerFailed("an inference failed"), True, 1),
        (None, True, 0),
    ],
)
def test_only_what_a_reset_may_help_is_reset(error: WorkerError | None, opens: bool, resets: int) -> None:
    problem = BackendError("the answers of another network") if error is None else failing(error)

    def fail(_: object) -> Backend:
        raise problem

    step = RecoveryStep("usb_reset", lambda: None)
    ways = (lambda _: Fragile([]), fail) if opens else (fail, lambda _: None)
    with supervised(*ways, park_s=600, steps=(step,)) as device:
        assert until(lambda: "parked" in device.recovery)
        assert device.recovery.get("usb_reset", 0) == resets


def test_a_device_that_was_in_service_is_reset_whatever_it_says() -> None:
    answers = iter([Fragile([])])

    def connect(_: Callable[[], bool]) -> Backend:
        backend = next(answers, None)
        if backend is None:
            raise failing(WorkerFailed("it does not open"))
        return backend

    with supervised(connect, park_s=600, steps=(RecoveryStep("usb_reset", lambda: None),)) as device:
        device.mark_unhealthy("it gave a wrong answer")
        assert until(lambda: "parked" in device.recovery)
        assert device.recovery["usb_reset"] == 1


def test_whoever_waits_for_the_first_attempt_may_stop_waiting() -> None:
    def connect(cancelled: Callable[[], bool]) -> Backend:
        assert until(cancelled)
        raise BackendError("given up")

    with SupervisedBackend(
        "stick", (INPUT,), (OUTPUT,), connect, lambda _: None, RecoveryPolicy((), Backoff(1, 1), park_s=1, steady_s=0)
    ) as device:
        device.wait_until_opened(lambda: True)
        assert device.reason == "stick is being opened"


def test_closing_ends_an_attempt_to_open() -> None:
    opening = threading.Event()

    def connect(cancelled: Callable[[], bool]) -> Backend:
        opening.set()
        assert until(cancelled)
        raise BackendError("given up")

    device = SupervisedBackend(
        "stick", (INPUT,), (OUTPUT,), connect, lambda _: None, RecoveryPolicy((), Backoff(1, 1), park_s=1, steady_s=0)
    )
    assert opening.wait(10)
    device.close()
    assert not device.changes


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_our_own_is_told_and_the_device_left_alone() -> None:
    def check(_: Backend) -> None:
        raise ZeroDivisionError("our fault")

    with supervised(lambda _: Fragile([]), check) as device:
        assert until(lambda: bool(device.changes))
        assert device.changes[0] == ("degraded", "stick is given up: ZeroDivisionError: our fault")
        with pytest.raises(BackendError, match="given up"):
            device.infer(BATCH)
