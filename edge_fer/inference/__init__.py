"""The devices that run networks: one file a device, opened by its short name.

A backend has the specifications of its inputs and outputs, `infer` and `close`, and is a
context manager. Nothing outside this package imports an interpreter or a vendor library.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from edge_fer.errors import BackendError

if TYPE_CHECKING:  # a camera's child process imports this package, and should not wait for these
    from collections.abc import Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self


_MODULES = {
    "cpu": "edge_fer.inference.cpu",
    "onnx": "edge_fer.inference.onnx",
    "fake": "edge_fer.inference.fake",
    "edgetpu": "edge_fer.inference.edgetpu.backend",
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One array that a network takes or gives.

    Attributes:
        name: the tensor's name in the model.
        shape: the array's shape, the batch first.
        dtype: the array's type.
        scale: real = (quantized - zero_point) * scale; 0 where the values are not quantized.
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
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the network once.

        Args:
            inputs: an array for each of `self.inputs`, in that order, of exactly its shape and dtype.

        Returns:
            A new array for each of `self.outputs`, in that order.

        Raises:
            BackendError: when the device fails.
        """
        ...

    def close(self) -> None:
        """Release the device; further calls of `infer` are an error."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_backend(name: str, model: bytes, *, threads: int = 1, input_shape: tuple[int, ...] | None = None) -> Backend:
    """Load a network onto a device.

    Args:
        name: `cpu`, `fake`, `edgetpu`, `edgetpu:usb:0`, ..., or `auto` for a device that runs any network: the CPU.
        model: the content of a .tflite file, for an Edge TPU of a compiled one; or of an .onnx file, for the CPU.
        threads: processor threads for the network's operators, on the CPU.
        input_shape: replaces the shape of the first input, for networks that take any.

    Raises:
        ModelError: when the model is no network that the CPU runs.
        BackendError: when the device or its interpreter is missing, or an Edge TPU cannot run this model.
    """
    device, _, which = ("cpu" if name == "auto" else name).partition(":")
    if device == "cpu" and is_onnx(model):
        device = "onnx"
    arguments = (model, threads, input_shape, *((which,) if which else ()))
    opened: Backend = import_module(_MODULES[device]).open_backend(*arguments)
    return opened


def is_onnx(model: bytes) -> bool:
    """Whether a file is ONNX: it begins with the field `ir_version` of onnx.proto; a .tflite file has its own mark."""
    return model[:1] == b"\x08" and model[4:8] != b"TFL3"


def check_inputs(device: str, inputs: Sequence[NDArray[Any]], expected: Sequence[TensorSpec]) -> None:
    """Refuse arrays that are not what a network takes.

    Raises:
        BackendError: when their number, a shape or a dtype differs.
    """
    if [(array.shape, array.dtype) for array in inputs] != [(spec.shape, spec.dtype) for spec in expected]:
        wanted = ", ".join(f"{spec.dtype} {spec.shape}" for spec in expected)
        found = ", ".join(f"{array.dtype} {array.shape}" for array in inputs) or "nothing"
        raise BackendError(f"the network failed on {device}: expected {wanted}, found {found}")
