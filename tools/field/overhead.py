"""What the child process costs: an inference through it and in this process, side by side, a trivial network each.

python -m tools.field.overhead
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
from numpy.typing import NDArray

from edge_fer.inference.edgetpu.backend import CompiledModel, EdgeTpuBackend, EdgeTpuOptions
from edge_fer.inference.edgetpu.devices import list_tpus
from tests.support.fake_edgetpu import FakeEdgeTpu, library, twins

SIDE = 224  # the shipped classifier's input
CALLS = 2000


def in_process(model: bytes) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The same library and network without a child."""
    interpreter = Interpreter(model_content=model, experimental_delegates=[load_delegate(str(library()))])
    interpreter.allocate_tensors()
    source, answer = (
        details()[0]["index"] for details in (interpreter.get_input_details, interpreter.get_output_details)
    )

    def infer(batch: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_tensor(source, batch)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(answer))

    return infer


def milliseconds(infer: Callable[[NDArray[Any]], Any], batch: NDArray[Any]) -> float:
    """How long one inference takes."""
    start = time.perf_counter()
    infer(batch)
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    """Measure and print."""
    _, compiled = twins(SIDE)
    batch = np.random.default_rng(0).integers(-128, 128, (1, SIDE, SIDE, 3), dtype=np.int8)
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeEdgeTpu(Path(folder) / "tpu").present() as tpu,
        CompiledModel(compiled) as model,
        EdgeTpuBackend(list_tpus(tpu.sysfs)[0], model, EdgeTpuOptions(str(library()))) as child,
    ):
        ways = {"in this process": in_process(compiled), "in the child": child.infer}
        times = np.array([[milliseconds(infer, batch) for infer in ways.values()] for _ in range(CALLS)])
    for name, column in zip([*ways, "difference"], [*times.T, times[:, 1] - times[:, 0]], strict=True):
        low, median, high = np.percentile(column, (5, 50, 95))
        print(f"{name:16} median {median:.3f} ms, 5-95 % {low:.3f}-{high:.3f} ms, {CALLS} calls in turn")


if __name__ == "__main__":
    main()
