"""The devices that run networks: one file a device, opened by its short name.

A backend has the specification of its input and outputs, `infer` and `close`, and is a
context manager. Nothing outside this package imports an interpreter or a vendor library.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

BackendName = Literal["auto", "cpu", "fake"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a network takes or gives.

    Attributes:
        name: the tensor's name in the model.
        shape: with the batch first; images are NHWC.
        dtype: of the array.
        scale: real = (quantized - zero_point) * scale; 0 where the tensor is float.
        zero_point: see `scale`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0


class Backend(Protocol):
    """One network on one device."""

    name: str
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]

    def infer(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the network once.

        Args:
            batch: of exactly `input.shape` and `input.dtype`.

        Returns:
            One new array for each of `outputs`, in that order.

        Raises:
            BackendError: when the device fails.
        """
        ...

    def close(self) -> None:
        """Give the device back; further calls of `infer` are an error."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_backend(
    name: BackendName, model: bytes, *, threads: int = 1, input_shape: tuple[int, ...] | None = None
) -> Backend:
    """Load a network onto a device.

    Args:
        name: `cpu`, `fake`, or `auto` for the best device there is.
        model: the content of a .tflite file.
        threads: for the network's operators, on the CPU.
        input_shape: replaces the model's own, for networks that take any.

    Raises:
        BackendError: when the device is missing or cannot run this model.
    """
    device = "cpu" if name == "auto" else name
    opened: Backend = import_module(f"{__name__}.{device}").open_backend(model, threads, input_shape)
    return opened
