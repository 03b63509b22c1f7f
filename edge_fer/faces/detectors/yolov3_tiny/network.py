"""YOLOv3-tiny on one device: from a square picture to its two maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, ModelError
from edge_fer.faces.detectors.yolov3_tiny.decode import Map, sigmoid
from edge_fer.inference import Backend, TensorSpec, open_backend
from edge_fer.inference.manifest_detect import DetectorSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.preprocessor import Preprocessor
from edge_fer.inference.quantization import dequantize
from edge_fer.types import Image, Origin

Maps = tuple[Map, ...]
"""The two outputs as real values, the finer grid first."""


def open_network(
    store: ModelStore, model: str, device: str = "cpu", threads: int = 1, reason: str | None = None
) -> YoloNetwork:
    """Load the network onto the CPU, or onto the fake device.

    Args:
        store: the folder of networks.
        model: the network's name in the manifest.
        device: see `edge_fer.inference.open_backend`.
        threads: see `edge_fer.inference.open_backend`.
        reason: see `YoloNetwork`.

    Raises:
        ModelError: when the network is missing, corrupt or not what its manifest entry says.
        BackendError: when the device cannot run it.
    """
    spec = store.spec(model, "detect")
    content = store.load(model, "detect")
    try:
        backend = open_backend(device, content, threads=threads)
    except ModelError as error:
        raise ModelError(f"`{model}`, {store.folder / spec.file}: {error}") from error
    try:
        return YoloNetwork(model, spec, backend, reason)
    except ModelError:
        backend.close()
        raise


class YoloNetwork(Closeable):
    """The network on one device.

    Args:
        model: the network's name in the manifest.
        spec: what the manifest says of it.
        backend: the device; closed with the network.
        reason: why it is not the device that should find faces; None when it is.

    Attributes:
        size: side of the square picture that it takes, pixels.
        inputs: what the network takes.
        outputs: what the network gives.

    Raises:
        ModelError: when the network's input or outputs are not what the manifest says.
    """

    def __init__(self, model: str, spec: DetectorSpec, backend: Backend, reason: str | None = None) -> None:
        self._model, self._backend, self._reason = model, backend, reason
        self.size, self.inputs, self.outputs = spec.input.size, backend.inputs, backend.outputs
        self._preprocessor = Preprocessor(model, spec.input, backend.inputs)
        self._places = _places(model, spec, backend.outputs)

    @property
    def origin(self) -> Origin:
        """What finds faces, and why it is not what should, if so."""
        return Origin(self._model, self._backend.name, self._reason)

    def maps(self, image: Image) -> Maps:
        """Run the network once.

        Args:
            image: `(size, size, 3)` uint8, BGR.

        Raises:
            BackendError: when the device fails, or gives what is no number.
        """
        answers = self._backend.infer(self._preprocessor.prepare(image))
        maps = tuple(dequantize(answers[place], self.outputs[place]).astype(np.float32) for place in self._places)
        if not all(np.isfinite(one).all() for one in maps):
            raise BackendError(
                f"expected numbers from `{self._model}` on {self._backend.name}, found others; the file is broken, or "
                "`mean` and `std` in its manifest entry are not those of its training"
            )
        return maps

    def close(self) -> None:
        """Release the device."""
        self._backend.close()


def agree(one: Maps, other: Maps, tolerance: float) -> bool:
    """Whether two devices see the same: no value differs by more than `tolerance` after the sigmoid."""
    pairs = zip(one, other, strict=True)
    return all(float(np.abs(sigmoid(first) - sigmoid(second)).max()) <= tolerance for first, second in pairs)


def _places(model: str, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> tuple[int, ...]:
    """Where the two maps are among a network's outputs, by their shapes; the finer grid first."""
    shapes = [tensor.shape for tensor in outputs]
    if sorted(shapes) != sorted(spec.map_shapes):
        found = ", ".join(map(str, shapes))
        raise ModelError(
            f"expected `{model}` to give {' and '.join(map(str, spec.map_shapes))}, found {found}; correct `input` or "
            "`labels` in its manifest entry, or export it anew"
        )
    return tuple(shapes.index(shape) for shape in spec.map_shapes)
