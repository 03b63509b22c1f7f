"""The networks that are served, each on the devices that the settings name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from numpy.typing import NDArray

from edge_fer.common.closeable import Closeable
from edge_fer.common.picture import enlarge
from edge_fer.errors import BackendError, ConfigError, ModelError
from edge_fer.expression.classifier import open_network
from edge_fer.expression.devices import golden_check
from edge_fer.expression.feature_branch import open_branch
from edge_fer.expression.golden_faces import golden_faces
from edge_fer.expression.open_model import share_out
from edge_fer.expression.preprocessing import crop_tensor
from edge_fer.inference import Backend, TensorSpec, open_backend
from edge_fer.inference.edgetpu.backend import CompiledModel, find_tpus
from edge_fer.inference.edgetpu.devices import Tpu, list_tpus
from edge_fer.inference.manifest import EnsembleSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.preprocessor import Preprocessor
from edge_fer.inference.remote.messages import Service
from edge_fer.inference.supervised import SupervisedBackend
from edge_fer.inference.supervised_tpu import Job, supervise_tpu
from edge_fer.settings import ClassifySettings
from edge_fer.types import Origin

Arrays = Sequence[NDArray[Any]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """What a request of one service is made into.

    Attributes:
        inputs: what a request holds.
        prepare: makes the network's inputs of that.
    """

    inputs: tuple[TensorSpec, ...]
    prepare: Callable[[Arrays], Arrays]


class ServedNetwork(Closeable):
    """One network, on one or several devices.

    Args:
        model: its name in the manifest.
        sha256: of its file, in hexadecimal digits; of a compiled one, of what it was compiled of.
        devices: each for one thread at a time; closed with it.
        programs: what it is served for.
        held: closed with it, after the devices.

    Attributes:
        model: see above.
        sha256: see above.
        devices: see above.
        programs: see above.
        outputs: what it gives.
    """

    def __init__(
        self,
        model: str,
        sha256: str,
        devices: Sequence[Backend],
        programs: dict[Service, Program],
        held: ExitStack | None = None,
    ) -> None:
        self.model, self.sha256, self.programs = model, sha256, programs
        self.devices = tuple(devices)
        self.outputs = self.devices[0].outputs
        self._held = held or ExitStack()

    @property
    def supervised(self) -> tuple[SupervisedBackend, ...]:
        """Those of its devices that may fail and come back."""
        return tuple(device for device in self.devices if isinstance(device, SupervisedBackend))

    @property
    def origin(self) -> Origin:
        """What runs it now; and which device is away, and why."""
        reasons = {device.name: away(device) for device in self.devices}
        here = [name for name, reason in reasons.items() if reason is None]
        return Origin(self.model, "+".join(here or reasons), next(filter(None, reasons.values()), None))

    def close(self) -> None:
        """Give all devices back, whichever fails."""
        with self._held as stack:
            for device in self.devices:
                stack.callback(device.close)


def away(device: Backend) -> str | None:
    """Why a device is out of service; None while it is in service."""
    return device.reason if isinstance(device, SupervisedBackend) else None


def open_networks(
    settings: ClassifySettings, store: ModelStore, cancelled: Callable[[], bool] = lambda: False
) -> tuple[ServedNetwork, ...]:
    """Open a classifier, or every member of an ensemble.

    Devices are chosen as `open_expression_model` chooses them. There is no CPU behind an Edge TPU here: while it is
    away, clients are told so, and their own processors read faces.

    Args:
        settings: devices, model and deadlines.
        store: the folder of networks.
        cancelled: asked while devices are opened; when true, nothing is waited for.

    Raises:
        ModelError: when a model is missing, corrupt, no classifier, or one that cannot be served.
        BackendError: when a device that is named does not work, or its network was not compiled.
        ConfigError: when the settings name another computer.
    """
    if settings.server is not None:
        raise ConfigError(
            f"expected a device of this computer to serve, found {settings.backend}; choose another classify.backend"
        )
    spec = store.expression_model(settings.model)
    device, _, which = settings.backend.partition(":")
    tpus = list_tpus(settings.sysfs) if device in {"auto", "edgetpu"} else ()
    if device == "edgetpu":
        tpus = find_tpus(which, tpus)
    shares = share_out(tpus, spec, store) if isinstance(spec, EnsembleSpec) else {settings.model: tpus}
    names = [member.name for member in spec.members] if isinstance(spec, EnsembleSpec) else [settings.model]
    with ExitStack() as stack:
        networks = []
        for name in names:
            one = settings.model_copy(update={"model": name})
            networks.append(stack.enter_context(_open_network(one, store, shares.get(name, ()), cancelled)))
        stack.pop_all()
    return tuple(networks)


def _open_network(
    settings: ClassifySettings, store: ModelStore, tpus: Sequence[Tpu], cancelled: Callable[[], bool]
) -> ServedNetwork:
    model = settings.model
    spec = store.spec(model, "classify")
    if spec.region is not None:
        raise ModelError(f"expected a network that can be served, found `{model}`, two with a cut between them, which "
                         "each computer's own CPU reads; choose another classify.model")  # fmt: skip
    with ExitStack() as stack:
        devices = _open_tpus(settings, store, tpus, stack, cancelled) if tpus else []
        if not devices:
            device = "fake" if settings.backend == "fake" else "cpu"
            open_network(store, model, device, settings.threads).close()  # what its file alone cannot tell
            devices = [open_backend(device, store.load(model, "classify"), threads=settings.threads)]
        preprocessor = Preprocessor(model, spec.input, devices[0].inputs)
        prepare = partial(_prepared, preprocessor, spec.input.size)
        programs: dict[Service, Program] = {
            "faces": Program((crop_tensor(spec),), prepare),
            "tensors": Program(devices[0].inputs, lambda arrays: arrays),
        }
        return ServedNetwork(model, spec.sha256, devices, programs, stack.pop_all())


def _prepared(preprocessor: Preprocessor, size: int, arrays: Arrays) -> Arrays:
    return (preprocessor.prepare(enlarge(arrays[0], size)),)


def _open_tpus(
    settings: ClassifySettings,
    store: ModelStore,
    tpus: Sequence[Tpu],
    held: ExitStack,
    cancelled: Callable[[], bool],
) -> list[Backend]:
    """Edge TPUs, each behind its supervisor; none where the network was not compiled and none was named."""
    model, named = settings.model, settings.backend != "auto"
    spec = store.spec(model, "classify")
    try:
        compiled = held.enter_context(CompiledModel(store.load_compiled(model, "classify")))
    except (BackendError, ModelError) as error:
        if named:
            raise BackendError(str(error)) from error
        _log.warning("there is an Edge TPU, but `%s` runs on the CPU: %s", model, error)
        return []
    branch = open_branch(store, model, spec)
    if branch is not None:
        held.enter_context(branch)
    with open_network(store, model, "cpu", settings.threads) as twin:
        check = golden_check(spec, twin, branch, golden_faces(spec))
        job = Job(compiled, (twin.inputs, twin.outputs), check)
    devices = []
    with ExitStack() as opened:
        for tpu in tpus:
            devices.append(opened.enter_context(supervise_tpu(tpu, settings, [job])))
        for device in devices:
            device.wait_until_opened(cancelled)
        if named and not cancelled() and all(device.reason is not None for device in devices):
            raise BackendError(devices[0].reason)
        opened.pop_all()
    return list(devices)
