"""A network on the CPU whose every tensor can be read after a run."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edge_fer.inference import TensorSpec
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.inference.preprocessor import Preprocessor
from edge_fer.inference.quantization import dequantize
from edge_fer.lab.tflite.graph import Graph


class OpenNetwork:
    """A classifier, float32 or INT8, that keeps all computed tensors.

    Args:
        model: the content of a .tflite file.
        spec: how a pixel becomes an input.
        threads: processor threads.
    """

    def __init__(self, model: bytes, spec: InputSpec, threads: int) -> None:
        self._interpreter = _keeping_interpreter(model, threads)
        self.graph = Graph(model)
        self._specs = {detail["index"]: _spec(detail) for detail in self._interpreter.get_tensor_details()}
        (self._input,) = self.graph.inputs
        self._preprocessor = Preprocessor("the network", spec, [self._specs[self._input]])

    @property
    def computed(self) -> tuple[int, ...]:
        """Indices of the tensors that are no constants, the input's among them."""
        return tuple(index for index in range(len(self.graph.tensors)) if not self.graph.is_constant(index))

    def run(self, face: NDArray[np.uint8]) -> None:
        """Run the network once.

        Args:
            face: uint8: `(size, size)`, grey, or `(size, size, 3)`, BGR, where the network takes colour.
        """
        self._interpreter.set_tensor(self._input, self._preprocessor.prepare(face))
        self._interpreter.invoke()

    def values(self, tensor: int) -> NDArray[Any]:
        """What a tensor holds after the last run: float32 as it is, INT8 dequantized to float64."""
        found, spec = self._interpreter.get_tensor(tensor), self._specs[tensor]
        return np.asarray(dequantize(found, spec) if spec.scale else found)


def _keeping_interpreter(model: bytes, threads: int) -> Any:
    with warnings.catch_warnings():
        # LiteRT warns that keeping all tensors takes memory; reading all of them is the point here.
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors", category=UserWarning)
        interpreter = Interpreter(model_content=model, num_threads=threads, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    return interpreter


def _spec(detail: dict[str, Any]) -> TensorSpec:
    scale, zero_point = detail["quantization"]
    return TensorSpec(detail["name"], tuple(detail["shape"]), np.dtype(detail["dtype"]), float(scale), int(zero_point))
