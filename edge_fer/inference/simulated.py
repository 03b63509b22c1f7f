"""A simulated accelerator: it takes as long as a real one should, and answers by arithmetic.

For predictions (`edge-fer bench --simulate`): waiting costs no processor time, as an accelerator's work
costs its host none, so that the processor's own work is measured as it would be beside the real device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from numpy.typing import NDArray

from edge_fer.inference import TensorSpec
from edge_fer.inference import open_backend as open_real
from edge_fer.inference.fake import FakeBackend


def open_backend(
    model: bytes, latency_s: float, threads: int = 1, turn: AbstractContextManager[object] | None = None
) -> SimulatedBackend:
    """Take over the specification of a network.

    Args:
        model: the content of a .tflite or .onnx file.
        latency_s: duration of each inference, seconds.
        threads: for reading the specification only; see `edge_fer.inference.open_backend`.
        turn: see `SimulatedBackend`.

    Raises:
        ModelError: when the file cannot be read as a network.
    """
    with open_real("cpu", model, threads=threads) as real:
        return SimulatedBackend(real.inputs, real.outputs, latency_s, turn=turn)


class SimulatedBackend(FakeBackend):
    """A network's specification and an accelerator's latency.

    Args:
        inputs: what the network takes.
        outputs: what the network gives.
        latency_s: from the call of `infer` to its answer, seconds.
        clock: seconds, monotonic.
        sleep: waits for a number of seconds.
        turn: held during each inference, where another network runs on the same accelerator; None: it has its own.
    """

    name = "simulated"

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        latency_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        super().__init__(inputs, outputs)
        self._turn = turn or nullcontext()
        self._latency_s, self._clock, self._sleep = latency_s, clock, sleep

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Answer when the accelerator would have; see `edge_fer.inference.Backend.infer`."""
        with self._turn:
            due = self._clock() + self._latency_s
            answer = super().infer(*inputs)
            self._sleep(max(0.0, due - self._clock()))
            return answer
