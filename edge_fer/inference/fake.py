"""A device that needs no hardware: it keeps the contract and answers at once, by arithmetic.

For tests, and for trying out everything around the networks without waiting for them. Each output is filled
with values that depend on the inputs alone, so that equal inputs give equal answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError
from edge_fer.inference import TensorSpec, check_inputs
from edge_fer.inference import open_backend as open_real


def open_backend(model: bytes, threads: int, input_shape: tuple[int, ...] | None) -> FakeBackend:
    """Take over the specification of a network; see `edge_fer.inference.open_backend`."""
    with open_real("cpu", model, threads=threads, input_shape=input_shape) as real:
        return FakeBackend(real.inputs, real.outputs)


class FakeBackend(Closeable):
    """A network's specification without the network."""

    name = "fake"

    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._open = True

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Answer at once; see `edge_fer.inference.Backend.infer`."""
        if not self._open:
            raise BackendError("expected an open backend, found one that was closed; open it again")
        check_inputs("the fake device", inputs, self.inputs)
        return tuple(_answer(inputs, spec) for spec in self.outputs)

    def close(self) -> None:
        """Refuse further calls."""
        self._open = False


def _answer(inputs: Sequence[NDArray[Any]], spec: TensorSpec) -> NDArray[Any]:
    """A ramp whose start depends on the sum of the inputs, within the range of the output's type."""
    start = int(sum(np.sum(array, dtype=np.float64) for array in inputs)) % 100
    ramp = (start + np.arange(np.prod(spec.shape)) * 37) % 100
    return ramp.reshape(spec.shape).astype(spec.dtype)
