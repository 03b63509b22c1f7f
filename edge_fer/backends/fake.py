"""A device that is always there: it obeys the contract and answers at once, by arithmetic.

For tests and for trying out sinks on a machine without an interpreter. Each output is filled
with a value that depends on the input alone, so that equal inputs give equal answers.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from edge_fer.backends import TensorSpec, cpu
from edge_fer.errors import BackendError


def open_backend(model: bytes, threads: int, input_shape: tuple[int, ...] | None) -> FakeBackend:
    """Take on the specification of a network; see `edge_fer.backends.open_backend`."""
    with cpu.open_backend(model, threads, input_shape) as real:
        return FakeBackend(real.input, real.outputs)


class FakeBackend:
    """A network's specification without the network."""

    name = "fake"

    def __init__(self, input_spec: TensorSpec, outputs: tuple[TensorSpec, ...]) -> None:
        self.input = input_spec
        self.outputs = outputs
        self._open = True
