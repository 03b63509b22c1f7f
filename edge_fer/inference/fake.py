"""A device that is always there: it obeys the contract and answers at once, by arithmetic.

For tests, and for trying out everything around the networks without waiting for them. Each output is filled
with a value that depends on the input alone, so that equal inputs give equal answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError
from edge_fer.inference import TensorSpec, check_input, cpu


def open_backend(model: bytes, threads: int, input_shape: tuple[int, ...] | None) -> FakeBackend:
    """Take on the specification of a network; see `edge_fer.inference.open_backend`."""
    with cpu.open_backend(model, threads, input_shape) as real:
        return FakeBackend(real.input, real.outputs)


class FakeBackend(Closeable):
    """A network's specification without the network."""

    name = "fake"

    def __init__(self, input_spec: TensorSpec, outputs: tuple[TensorSpec, ...]) -> None:
        self.input = input_spec
        self.outputs = outputs
        self._open = True

    def infer(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Answer at once; see `edge_fer.inference.Backend.infer`."""
        if not self._open:
            raise BackendError("expected an open backend, found one that was closed; open it again")
        check_input("the fake device", batch, self.input)
        return tuple(_answer(batch, spec) for spec in self.outputs)

    def close(self) -> None:
        """Refuse further calls."""
        self._open = False


def _answer(batch: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """A ramp that starts where the sum of the input says, within the range of the output's type."""
    start = int(np.sum(batch, dtype=np.float64)) % 100
    ramp = (start + np.arange(np.prod(spec.shape)) * 37) % 100
    return ramp.reshape(spec.shape).astype(spec.dtype)
