"""The interpreter with the Edge TPU's delegate, in the child process that `backend.py` starts.

libedgetpu aborts the process on a USB error, an interpreter that it was not built for makes it a segmentation fault,
and it can hang for ever: so it is loaded here, and nowhere else.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_fer.process.child import Memory

_ALIGNMENT = 64
_KINDS = ("pci", "usb")  # enum edgetpu_device_type


class EdgeTpu:
    """Compiled networks that take turns on one Edge TPU; see `edge_fer.process.child` for how it is served.

    The library opens a device for one process only, which may run several networks on it.

    Args:
        memory: shared with the parent: inputs and outputs of each network, one after the other; see `shared_arrays`.
        library: name or path of libedgetpu.
        models: descriptors of files with a compiled .tflite each, inherited from the parent.
        kind: `usb` or `pci`.
        port: the device's name in sysfs, such as `2-1` or `apex_0`.
        options: the delegate's options.

    Raises:
        OSError: when the library, the device or the network is not what was expected.
    """

    def __init__(
        self, memory: Memory, library: str, models: list[int], kind: str, port: str, options: dict[str, str]
    ) -> None:
        device = f"{kind}:{_index(library, kind, port)}"
        self._networks = [_Network(model, library, port, {"device": device, **options}) for model in models]
        self.info = {"networks": [network.info for network in self._networks]}
        specs = [(tensor["shape"], tensor["dtype"]) for network in self._networks for tensor in network.tensors]
        arrays = shared_arrays(memory.view, specs)
        for network in self._networks:
            count = len(network.tensors)
            network.arrays, arrays = arrays[:count], arrays[count:]

    def infer(self, network: int) -> None:
        """Run a network on the inputs that lie in the shared memory, and leave the outputs there.

        Args:
            network: its place in `models`.

        Raises:
            OSError: when the device fails, or an output has another shape than the network's.
        """
        self._networks[network].infer()


class _Network:
    """One compiled network.

    Attributes:
        tensors: its inputs, then its outputs.
        info: both, by name.
        arrays: an array in the shared memory for each of them.
    """

    def __init__(self, model: int, library: str, port: str, options: dict[str, str]) -> None:
        runtime = _runtime()
        try:
            delegate = runtime.load_delegate(library, options)
        except ValueError as error:  # libedgetpu gives no reason
            raise OSError(
                f"expected the Edge TPU at {port} to open, found that it does not ({_line(error)}); another program "
                "may be using it, or the user may not: see `edge-fer doctor`"
            ) from error
        try:
            self._interpreter = runtime.Interpreter(f"/proc/self/fd/{model}", experimental_delegates=[delegate])
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise OSError(f"expected a network that runs on the Edge TPU, found: {_line(error)}") from error
        taken, given = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._inputs, self._outputs = ([int(detail["index"]) for detail in details] for details in (taken, given))
        self.info = {
            "inputs": [_describe(detail) for detail in taken],
            "outputs": [_describe(detail) for detail in given],
        }
        self.tensors = [*self.info["inputs"], *self.info["outputs"]]
        self.arrays: list[NDArray[Any]] = []

    def infer(self) -> None:
        """Run it once; see `EdgeTpu.infer`."""
        sources, targets = self.arrays[: len(self._inputs)], self.arrays[len(self._inputs) :]
        try:
            for index, source in zip(self._inputs, sources, strict=True):
                self._interpreter.set_tensor(index, source)
            self._interpreter.invoke()
            answers = [self._interpreter.get_tensor(index) for index in self._outputs]
        except (RuntimeError, ValueError) as error:
            raise OSError(f"the network failed on the Edge TPU: {_line(error)}") from error
        for answer, target in zip(answers, targets, strict=True):
            if answer.shape != target.shape:
                raise OSError(f"expected an answer of shape {target.shape} from the Edge TPU, found {answer.shape}")
            target[...] = answer


def shared_arrays(memory: Callable[[int], memoryview], specs: list[tuple[list[int], str]]) -> list[NDArray[Any]]:
    """Arrays in the shared memory, one after the other; parent and child lay them out alike.

    Args:
        memory: gives the first bytes of the shared memory, as many as are asked for.
        specs: shape and dtype of each array.
    """
    sizes = [int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in specs]
    starts = np.cumsum([0, *(-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes)]).tolist()
    view = memory(starts[-1])
    return [
        np.frombuffer(view[start : start + size], dtype).reshape(shape)
        for (shape, dtype), start, size in zip(specs, starts, sizes, strict=False)
    ]


def _index(library: str, kind: str, port: str) -> int:
    """The place of a device in the order that the library counts its kind in, which need not be the kernel's.

    Raises:
        OSError: when the library cannot be loaded, or does not see the device.
    """
    try:
        edgetpu = ctypes.CDLL(library)
    except OSError as error:
        raise OSError(
            f"expected the Edge TPU library {library}, found: {_line(error)}; install libedgetpu1-std "
            "or set `classify.edgetpu_library`"
        ) from error
    edgetpu.edgetpu_list_devices.restype = ctypes.POINTER(_Device)
    edgetpu.edgetpu_free_devices.argtypes = [ctypes.POINTER(_Device)]
    count = ctypes.c_size_t()
    devices = edgetpu.edgetpu_list_devices(ctypes.byref(count))  # a null pointer when there are none
    seen = [(_KINDS[device.type], Path(device.path.decode()).name) for device in devices[: count.value]]
    edgetpu.edgetpu_free_devices(devices)
    ports = [name for its_kind, name in seen if its_kind == kind]
    if port not in ports:
        raise OSError(
            f"expected {library} to see the Edge TPU at {port}, found {', '.join(ports) or 'none'}; "
            "it was unplugged, is being reset, or the user may not open it: see `edge-fer doctor`"
        )
    return ports.index(port)


class _Device(ctypes.Structure):
    """`struct edgetpu_device` of edgetpu_c.h."""

    _fields_ = (("type", ctypes.c_int), ("path", ctypes.c_char_p))


def _describe(detail: dict[str, Any]) -> dict[str, Any]:
    """What `edge_fer.inference.TensorSpec` holds, as JSON."""
    scale, zero_point = detail["quantization"]
    return {
        "name": detail["name"],
        "shape": detail["shape"].tolist(),
        "dtype": np.dtype(detail["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


def _runtime() -> Any:
    try:
        return import_module("ai_edge_litert.interpreter")
    except ImportError:
        return import_module("tflite_runtime.interpreter")


def _line(error: Exception) -> str:
    """What went wrong, in one line; LiteRT puts the delegate's words and its own together without a space."""
    text = re.sub(r"(?<=\w)(?=Node number \d)", ": ", str(error))
    return re.sub(r"\s+", " ", text).strip() or type(error).__name__
