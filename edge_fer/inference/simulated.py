"""An accelerator that is not there: it takes as long as a real one should, and answers by arithmetic.

For predictions (`edge-fer bench --simulate`): waiting costs no processor time, as an accelerator's work
costs its host none, so that what the processor does meanwhile shows as it would beside the real device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from edge_fer.inference import TensorSpec, cpu
from edge_fer.inference.fake import FakeBackend


def open_backend(model: bytes, latency_s: float, threads: int = 1) -> SimulatedBackend:
    """Take on the specification of a network.

    Args:
        model: the content of a .tflite file.
        latency_s: how long each inference takes, seconds.
        threads: for reading the specification only; see `edge_fer.inference.open_backend`.

    Raises:
        BackendError: when the file is no network.
    """
    with cpu.open_backend(model, threads, None) as real:
        return SimulatedBackend(real.input, real.outputs, latency_s)


class SimulatedBackend(FakeBackend):
    """A network's specification and an accelerator's latency.

    Args:
        input_spec: of the network.
        outputs: of the network.
        latency_s: from the call of `infer` to its answer, seconds.
        clock: seconds that never go backwards.
        sleep: waits for so many seconds.
    """

    name = "simulated"

    def __init__(
        self,
        input_spec: TensorSpec,
        outputs: tuple[TensorSpec, ...],
        latency_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(input_spec, outputs)
        self._latency_s, self._clock, self._sleep = latency_s, clock, sleep

    def infer(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Answer when the accelerator would have; see `edge_fer.inference.Backend.infer`."""
        due = self._clock() + self._latency_s
        answer = super().infer(batch)
        self._sleep(max(0.0, due - self._clock()))
        return answer
