"""An Edge TPU that the detector uses, alone or beside the classifier: then the two take turns.

The library opens a device for one process only. So one child process runs both networks, under one supervisor: whatever
fails takes both out of service, and both are checked before they are back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError
from edge_fer.inference import Backend, TensorSpec, check_inputs
from edge_fer.inference.edgetpu.backend import EdgeTpuBackend, find_tpus
from edge_fer.inference.edgetpu.devices import Tpu, list_tpus
from edge_fer.inference.supervised import Change, SupervisedBackend
from edge_fer.inference.supervised_tpu import Job, supervise_tpu
from edge_fer.settings import ClassifySettings, DetectSettings


def detector_tpu(detect: DetectSettings, settings: ClassifySettings) -> SharedTpu | None:
    """The Edge TPU that the detector uses: the last of those that may be used, rather than one that faces are read on.

    Args:
        detect: the kind of detector, and its device.
        settings: of the devices, and on which faces are read.

    Returns:
        None where it uses none.

    Raises:
        BackendError: when one is named that is not there.
    """
    device, _, which = detect.backend.partition(":")
    if detect.kind == "mtcnn" or device not in {"auto", "edgetpu"}:
        return None
    tpus = list_tpus(settings.sysfs)
    if device == "edgetpu":
        tpus = find_tpus(which, tpus)
    free = [tpu for tpu in tpus if settings.backend != f"edgetpu:{tpu.name}"]
    return SharedTpu((free or tpus)[-1], settings) if tpus else None


class SharedTpu(Closeable):
    """One Edge TPU for several networks. All join before the first of them waits for the device, which opens it.

    Args:
        tpu: the device.
        settings: of the device.

    Attributes:
        tpu: see above.
        device: behind its supervisor; None until it is opened.
        name: the device's name.
        check_every: see `classify.check_every`.
    """

    def __init__(self, tpu: Tpu, settings: ClassifySettings) -> None:
        self.tpu, self.name, self.check_every = tpu, f"edgetpu:{tpu.name}", settings.check_every
        self._settings = settings
        self.device: SupervisedBackend | None = None
        self._jobs: list[Job] = []

    def join(self, job: Job) -> SharedNetwork:
        """Have a network run on the device, too.

        Args:
            job: the network; it stays open until the device is closed.

        Raises:
            BackendError: when the device is open already.
        """
        if self.device is not None:
            raise BackendError(f"expected all networks of {self.name} before it is opened, found one more; start anew")
        self._jobs.append(job)
        return SharedNetwork(self, len(self._jobs) - 1, *job.specs)

    def open(self) -> SupervisedBackend:
        """The device behind its supervisor, opened the first time."""
        if self.device is None:
            self.device = supervise_tpu(self.tpu, self._settings, self._jobs)
        return self.device

    def close(self) -> None:
        """Give the device back."""
        if self.device is not None:
            self.device.close()


class SharedNetwork(Closeable):
    """One of the networks of a `SharedTpu`; see `edge_fer.inference.supervised.SupervisedDevice`.

    Args:
        tpu: the device.
        place: of this network.
        inputs: what it takes.
        outputs: what it gives.
    """

    def __init__(
        self, tpu: SharedTpu, place: int, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        self.name, self.inputs, self.outputs = tpu.name, inputs, outputs
        self._tpu, self._place = tpu, place

    @property
    def reason(self) -> str | None:
        """Why the device is out of service; None while it is in service."""
        device = self._tpu.device
        return f"{self.name} is being opened" if device is None else device.reason

    @property
    def changes(self) -> deque[Change]:
        """What happened to the device; the first network tells it for all of them."""
        device = self._tpu.device
        return deque() if device is None or self._place else device.changes

    @property
    def recovery(self) -> Mapping[str, int]:
        """How often each recovery step was tried; the first network tells it for all of them."""
        device = self._tpu.device
        return {} if device is None or self._place else device.recovery

    def wait_until_opened(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Open the device, and wait until the first attempt is over; see `SupervisedBackend.wait_until_opened`."""
        self._tpu.open().wait_until_opened(cancelled)

    def mark_unhealthy(self, reason: str) -> None:
        """Take the device out of service until it passes the checks of all its networks again."""
        if self._tpu.device is not None:
            self._tpu.device.mark_unhealthy(reason)

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the network once, when no other one runs; see `SupervisedBackend.infer`."""
        check_inputs(self.name, inputs, self.inputs)
        device = self._tpu.device
        if device is None:
            raise BackendError(str(self.reason))
        return device.use(lambda backend: _network(backend, self._place).infer(*inputs))

    def close(self) -> None:
        """Give the device back, which ends the other networks' use of it, too."""
        self._tpu.close()


def _network(backend: Backend, place: int) -> Backend:
    return backend.networks[place] if isinstance(backend, EdgeTpuBackend) else backend
