"""A Coral Edge TPU: compiled networks on one device, behind a child process that may crash and hang.

Each network lies in a memfd that all children map; inputs and outputs lie in the memory shared with each child;
a call carries a few bytes of JSON over a socket. Whatever happens to the child, `infer` answers or raises within
its deadline. `supervised.py` brings the device back.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, WorkerCrashed, WorkerError
from edge_fer.inference import check_inputs, is_onnx
from edge_fer.inference.edgetpu.child import shared_arrays
from edge_fer.inference.edgetpu.devices import Tpu, list_tpus
from edge_fer.inference.tensor_record import MAX_BYTES, NetworkRecord, NetworkRecords
from edge_fer.process.worker import Worker

KILL_WAIT_S = 0.1
"""How long a face waits at most for a child that was killed to end, seconds."""

CLOSE_S = 4.0
"""How long libedgetpu may search for the device before it releases it, seconds."""

# What libedgetpu1-std and -max choose by themselves; but of a device that is named by its index both choose Max.
_PERFORMANCE = {"std": "High", "max": "Max"}


@dataclass(frozen=True, slots=True)
class EdgeTpuOptions:
    """How an Edge TPU is used.

    Attributes:
        library: name or path of libedgetpu.
        performance: clock of a stick: `max` is quicker, hotter and draws more than many USB ports give.
        deadline_s: for one inference, seconds.
        start_deadline_s: for starting the child, loading the library, opening the device and its first inference.
    """

    library: str = "libedgetpu.so.1"
    performance: Literal["std", "max"] = "std"
    deadline_s: float = 0.5
    start_deadline_s: float = 20.0


class CompiledModel(Closeable):
    """A network compiled for the Edge TPU, in memory that child processes can map.

    Attributes:
        descriptor: the memfd's file descriptor.

    Raises:
        BackendError: when it is not compiled, and would run on the CPU unnoticed.
    """

    def __init__(self, content: bytes) -> None:
        if is_onnx(content):
            raise BackendError(
                "expected a network compiled for the Edge TPU, found an ONNX file, which only the CPU runs; make an "
                "int8 .tflite of it and compile that, or choose `classify.backend: cpu`"
            )
        if b"edgetpu-custom-op" not in content:
            raise BackendError(
                "expected a network compiled for the Edge TPU, found one without `edgetpu-custom-op`, which would run "
                "on the CPU; compile it with deploy/compile_edgetpu.sh"
            )
        self.descriptor = os.memfd_create("edge-fer-model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with open(self.descriptor, "wb", closefd=False) as file:
            file.write(content)
        fcntl(
            self.descriptor, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK
        )  # a faulty child may write anywhere

    def close(self) -> None:
        """Free the memory once the last child has ended."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def open_backend(model: bytes, _threads: int, input_shape: tuple[int, ...] | None, which: str = "") -> EdgeTpuBackend:
    """Load a compiled network onto one Edge TPU; see `edge_fer.inference.open_backend`.

    Args:
        model: the content of a compiled .tflite file.
        input_shape: must be None: the shape of a compiled network is fixed.
        which: `usb:0`, `pci:0`, ...; empty: the first one.
    """
    if input_shape is not None:
        raise BackendError(f"expected the compiled network's own input shape, found {input_shape}; omit it")
    with CompiledModel(model) as compiled:  # the child has mapped it when this ends
        return EdgeTpuBackend(find_tpus(which, list_tpus())[0], compiled)


def find_tpus(which: str, tpus: tuple[Tpu, ...]) -> tuple[Tpu, ...]:
    """The Edge TPUs that are meant by `usb:0`, `pci:1`, ..., or all of them by an empty word.

    Raises:
        BackendError: when there is none.
    """
    meant = tuple(tpu for tpu in tpus if which in ("", tpu.name))
    if not meant:
        found = ", ".join(f"edgetpu:{tpu.name}" for tpu in tpus) or "none"
        wanted = f"the Edge TPU {which}" if which else "an Edge TPU"
        raise BackendError(f"expected {wanted}, found {found}; plug it in, or see `edge-fer doctor`")
    return meant


class EdgeTpuBackend(Closeable):
    """One network on one Edge TPU, or several that take turns; used by one thread at a time.

    Args:
        tpu: the device.
        model: the compiled network.
        options: how the device is used; None: the defaults.
        cancelled: when true, a call that waits is given up; see `edge_fer.process.worker.Worker`.
        beside: further compiled networks.

    Attributes:
        networks: all of them, each a backend of its own; the first one is this one, too.

    Raises:
        BackendError: when the device does not open, or a network does not run on it.
    """

    def __init__(
        self,
        tpu: Tpu,
        model: CompiledModel,
        options: EdgeTpuOptions | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        beside: Sequence[CompiledModel] = (),
    ) -> None:
        options = options or EdgeTpuOptions()
        descriptors = tuple(one.descriptor for one in (model, *beside))
        self.name = f"edgetpu:{tpu.name}"
        self._deadline_s = options.deadline_s
        self._worker = Worker(
            "edge_fer.inference.edgetpu.child:EdgeTpu",
            name=self.name,
            inherit=descriptors,
            kill_wait_s=KILL_WAIT_S,
            cancelled=cancelled,
        )
        try:
            found = NetworkRecords.of(
                self._worker.start(
                    options.start_deadline_s,
                    library=options.library,
                    models=descriptors,
                    kind=tpu.kind,
                    port=tpu.path.name,
                    options={"Performance": _PERFORMANCE[options.performance]},
                )
            )
            self.networks = tuple(EdgeTpuNetwork(self, place, one) for place, one in enumerate(found.networks))
            self._arrays: list[list[NDArray[Any]]] | None = self._shared(len(descriptors))
            self.inputs, self.outputs = self.networks[0].inputs, self.networks[0].outputs
        except WorkerError as error:
            self._worker.kill()
            raise BackendError(str(error)) from error

    @property
    def pid(self) -> int | None:
        """Process id of the child; None without a child."""
        return self._worker.pid

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the first network once; see `edge_fer.inference.Backend.infer`.

        After a failure only `close` is of use.
        """
        return self.infer_on(0, *inputs)

    def infer_on(self, network: int, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run one of the networks once, by its place; see `infer`."""
        if self._arrays is None:
            raise BackendError("expected an open backend, found one that was closed; open it again")
        check_inputs(self.name, inputs, self.networks[network].inputs)
        arrays = self._arrays[network]
        for array, shared in zip(inputs, arrays, strict=False):  # the outputs come after the inputs
            np.copyto(shared, array)
        try:
            self._worker.call("infer", deadline_s=self._deadline_s, network=network)
        except WorkerError as error:
            self._worker.kill()
            raise BackendError(str(error)) from error
        return tuple(answer.copy() for answer in arrays[len(inputs) :])

    def _shared(self, count: int) -> list[list[NDArray[Any]]]:
        """The arrays of each network in the memory that is shared with the child."""
        if len(self.networks) != count:
            raise WorkerCrashed(f"{self.name}: expected {count} networks, found {len(self.networks)}")
        tensors = [(*network.inputs, *network.outputs) for network in self.networks]
        specs = [spec for network in tensors for spec in network]
        needed = sum(math.prod(spec.shape) * spec.dtype.itemsize for spec in specs)
        if needed > MAX_BYTES:
            raise WorkerCrashed(f"{self.name}: expected a network of at most {MAX_BYTES} bytes, found {needed}")
        arrays = iter(shared_arrays(self._worker.memory, [(list(spec.shape), spec.dtype.name) for spec in specs]))
        return [list(islice(arrays, len(network))) for network in tensors]

    def close(self) -> None:
        """Let the library release the device, and end the child."""
        self._arrays = None
        self._worker.close(CLOSE_S)


class EdgeTpuNetwork(Closeable):
    """One of the networks of an `EdgeTpuBackend`; a backend, too.

    Args:
        backend: all of them.
        place: of this one.
        record: what it takes and gives.
    """

    def __init__(self, backend: EdgeTpuBackend, place: int, record: NetworkRecord) -> None:
        self.name = backend.name
        self.inputs = tuple(tensor.to_spec() for tensor in record.inputs)
        self.outputs = tuple(tensor.to_spec() for tensor in record.outputs)
        self._backend, self._place = backend, place

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the network once; see `EdgeTpuBackend.infer`."""
        return self._backend.infer_on(self._place, *inputs)

    def close(self) -> None:
        """The device is closed with all of its networks."""
