"""The CPU, through ONNX Runtime (extra `onnx`): for networks that come as .onnx files.

Float and quantized (QDQ) files run alike. Images are NCHW in most of them; the specification says what a file takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.common.text import printable
from edge_fer.errors import BackendError, ModelError
from edge_fer.inference import TensorSpec, check_inputs

_ERRORS_ONLY = 3  # severity of ONNX Runtime's log; its warnings are advice on how a file could be optimized
_DTYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(int32)": np.int32, "tensor(int64)": np.int64,
}  # fmt: skip


def open_backend(model: bytes, threads: int, input_shape: tuple[int, ...] | None) -> OnnxBackend:
    """Load a network onto the CPU; see `edge_fer.inference.open_backend`."""
    return OnnxBackend(model, threads, input_shape)


class OnnxBackend(Closeable):
    """One .onnx network on the CPU. It is run once when it is opened, which shows what shape its outputs have."""

    name = "cpu"

    def __init__(self, model: bytes, threads: int, input_shape: tuple[int, ...] | None) -> None:
        self._session = _start(model, threads)
        self.inputs = tuple(
            _input_spec(node, input_shape if place == 0 else None)
            for place, node in enumerate(self._session.get_inputs())
        )
        self._names = [spec.name for spec in self.inputs]
        self.outputs: tuple[TensorSpec, ...] = ()
        try:
            answers = self.infer(*(np.zeros(spec.shape, spec.dtype) for spec in self.inputs))
        except BackendError as error:
            raise ModelError(f"{error}; export the network anew") from error
        names = [node.name for node in self._session.get_outputs()]
        self.outputs = tuple(_output_spec(*pair) for pair in zip(names, answers, strict=True))

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the network once; see `edge_fer.inference.Backend.infer`."""
        if self._session is None:
            raise BackendError("expected an open backend, found one that was closed; open it again")
        check_inputs("the CPU", inputs, self.inputs)
        try:
            return tuple(self._session.run(None, dict(zip(self._names, inputs, strict=True))))
        except Exception as error:  # ONNX Runtime's errors have no other root
            raise BackendError(f"the network failed on the CPU: {printable(str(error))}") from error

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _start(model: bytes, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"expected onnxruntime for a network in an .onnx file, found none ({error}); pip install '.[onnx]' in its "
            "checkout"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Threads that spin while they wait would take the processor from the other stages.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as in `infer`
        reason = printable(str(error))
        export = "export it as one file that holds its weights" if "External data" in reason else "export it anew"
        raise ModelError(f"expected a network that runs on the CPU, found: {reason}; {export}") from error


def _input_spec(node: Any, shape: tuple[int, ...] | None) -> TensorSpec:
    """What an input takes; of a size that the file leaves open, the batch is 1."""
    if node.type not in _DTYPES:
        raise ModelError(f"expected an input of numbers, found {node.type} `{node.name}`; export the network anew")
    sizes = tuple(node.shape) if shape is None else shape
    if sizes and not isinstance(sizes[0], int):
        sizes = (1, *sizes[1:])
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ModelError(
            f"expected an input of fixed size, found {list(sizes)} `{node.name}`; export the network with a fixed size"
        )
    return TensorSpec(node.name, sizes, np.dtype(_DTYPES[node.type]))


def _output_spec(name: str, answer: object) -> TensorSpec:
    if not isinstance(answer, np.ndarray):
        raise ModelError(f"expected arrays as outputs, found {type(answer).__name__} `{name}`; export the network anew")
    return TensorSpec(name, answer.shape, answer.dtype)
