"""The CPU, through LiteRT (`ai-edge-litert`, or `tflite-runtime` where only that exists)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, ModelError
from edge_fer.inference import TensorSpec, check_inputs

_greeted = False


def open_backend(model: bytes, threads: int, input_shape: tuple[int, ...] | None) -> CpuBackend:
    """Load a network onto the CPU; see `edge_fer.inference.open_backend`."""
    return CpuBackend(model, threads, input_shape)


class CpuBackend(Closeable):
    """One network on the CPU."""

    name = "cpu"

    def __init__(self, model: bytes, threads: int, input_shape: tuple[int, ...] | None) -> None:
        interpreter_class = _interpreter_class()
        try:
            self._interpreter = _start(interpreter_class, model, threads, input_shape)
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"expected a network that runs on the CPU, found: {_reason(error)}; export it anew, as .tflite or .onnx"
            ) from error
        taken, given = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self.inputs = tuple(_spec(detail) for detail in taken)
        self.outputs = tuple(_spec(detail) for detail in given)
        self._input_indices: list[int] = [detail["index"] for detail in taken]
        self._output_indices: list[int] = [detail["index"] for detail in given]

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the network once; see `edge_fer.inference.Backend.infer`."""
        if self._interpreter is None:
            raise BackendError("expected an open backend, found one that was closed; open it again")
        if len(inputs) != len(self._input_indices):
            check_inputs("the CPU", inputs, self.inputs)
        try:
            for index, array in zip(self._input_indices, inputs, strict=True):
                self._interpreter.set_tensor(index, array)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"the network failed on the CPU: {_reason(error)}") from error
        return tuple(self._interpreter.get_tensor(index) for index in self._output_indices)

    def close(self) -> None:
        """Free the interpreter."""
        self._interpreter = None


def _start(interpreter_class: Any, model: bytes, threads: int, input_shape: tuple[int, ...] | None) -> Any:
    with _quiet_stderr():
        interpreter = interpreter_class(model_content=model, num_threads=threads)
        if input_shape is not None:
            interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], input_shape)
        interpreter.allocate_tensors()
    return interpreter


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep the interpreter's greeting off the terminal; it has no switch, and its errors are exceptions.

    It greets once a process, when the first network is opened, which is before any thread of ours runs. It is
    silenced only then, since the whole process shares the descriptor.
    """
    global _greeted  # noqa: PLW0603  the greeting, too, comes once a process
    if _greeted:
        yield
        return
    _greeted = True
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed, so there is nothing to silence
        yield
        return
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError as error:
            raise BackendError(
                f"expected ai-edge-litert or tflite-runtime, found neither ({error}); pip install ai-edge-litert"
            ) from error
    return Interpreter


def _spec(detail: dict[str, Any]) -> TensorSpec:
    scale, zero_point = detail["quantization"]
    shape = tuple(int(size) for size in detail["shape"])
    return TensorSpec(detail["name"], shape, np.dtype(detail["dtype"]), float(scale), int(zero_point))


def _reason(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
