"""A long run on one device, as fast as it goes."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.sensors import temperatures
from edge_fer.errors import BackendError
from edge_fer.inference import Backend

_FAILURES = 20  # in a row, after which a device is given up
_LONGEST_WAIT_S, _PAUSE_S = 30.0, 0.5


class Device:
    """A device that can be opened again.

    Args:
        connect: opens it.
        clock: seconds.
        pause: waits for so many seconds.

    Attributes:
        backend: the one that is open now.

    Raises:
        BackendError: when it does not open.
    """

    def __init__(
        self,
        connect: Callable[[], Backend],
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect, self._clock, self._pause = connect, clock, pause
        self.backend = connect()

    def reopen(self) -> bool:
        """Close it and open it again, waiting for a device that is away for a while; whether that helped."""
        self.backend.close()
        end = self._clock() + _LONGEST_WAIT_S
        while self._clock() < end:
            try:
                self.backend = self._connect()
            except BackendError:
                self._pause(_PAUSE_S)
            else:
                return True
        return False

    def close(self) -> None:
        """Give it back."""
        self.backend.close()


class Soak:
    """Counts what goes wrong in a long run; a device that fails is opened again.

    Args:
        device: the device to run on.
        clock: seconds.

    Attributes:
        times: times of the calls that did not fail, milliseconds.
        failures: how many calls failed.
        last_failure: message of the last of them.
        gave_up: whether the device did not come back, or failed too often in a row.
        changed: answers that were not those of the same face before.
        hottest: degrees Celsius by sensor.
    """

    def __init__(self, device: Device, clock: Callable[[], float]) -> None:
        self.times: list[float] = []
        self.failures = self.changed = 0
        self.last_failure, self.gave_up = "", False
        self.hottest: dict[str, float] = {}
        self._device, self._clock = device, clock
        self._memory_before = _peak_mb()

    @property
    def memory_mb(self) -> float:
        """How much the peak of this process's memory has grown, MB; a child's counts once it has ended."""
        return _peak_mb() - self._memory_before

    def run(self, batches: Sequence[NDArray[Any]], answers: Sequence[NDArray[Any]], seconds: float) -> None:
        """Run until the time is over, or the device is given up.

        Args:
            batches: inputs, used in turn.
            answers: of the device to each of them.
            seconds: how long.
        """
        end, number, in_a_row = self._clock() + seconds, 0, 0
        while self._clock() < end and not self.gave_up:
            which = number % len(batches)
            in_a_row = 0 if self._step(batches[which], answers[which]) else in_a_row + 1
            if in_a_row:
                self.gave_up = in_a_row >= _FAILURES or not self._device.reopen()
            if which == 0:
                self._feel()
            number += 1

    def _step(self, batch: NDArray[Any], expected: NDArray[Any]) -> bool:
        """One face; whether it was read."""
        start = self._clock()
        try:
            answer = self._device.backend.infer(batch)[0]
        except BackendError as error:
            self.failures += 1
            self.last_failure = str(error)
            return False
        self.times.append((self._clock() - start) * 1e3)
        self.changed += not np.array_equal(answer, expected)
        return True

    def _feel(self) -> None:
        for name, celsius in temperatures().items():
            self.hottest[name] = max(celsius, self.hottest.get(name, celsius))


def _peak_mb() -> float:
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e3
