"""Which device reads faces, and what happens when it fails: the CPU reads the same face at once.

    face -> a free Edge TPU in service -> expression
                 | away, failed now, or caught at a wrong answer
                 '-> the CPU           -> expression with the reason in its `origin`

An Edge TPU is in service once it has read two golden faces as the CPU does, so that garbage is not trusted; after
that, one face in `classify.check_every` is read on both. The CPU's network is kept ready, so that the first face
without the Edge TPU does not wait for it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import cv2
import numpy as np

from edge_fer.common.backoff import Backoff
from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, ModelError
from edge_fer.expression.classifier import Classifier, open_classifier
from edge_fer.inference import Backend, TensorSpec, open_backend
from edge_fer.inference.edgetpu.backend import CompiledModel, EdgeTpuBackend, EdgeTpuOptions, find_tpus
from edge_fer.inference.edgetpu.devices import Tpu, device_number, list_tpus
from edge_fer.inference.edgetpu.recovery import RecoveryPolicy, usb_steps
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.supervised import Change, SupervisedBackend
from edge_fer.settings import ClassifySettings
from edge_fer.types import Expression, Image, Origin

TOLERANCE = 0.2
"""Two devices agree on a face while no probability differs by more. Of 2,000 answers of the shipped network made of
random numbers, 1 % came as near to a right one; the two golden faces' right answers are 0.5 apart."""

_GOLDEN_SEEDS = (4, 12)

_log = logging.getLogger(__name__)


class Failover(Closeable):
    """Reads faces on one or several supervised devices, and on the CPU while none of them is in service.

    Args:
        readers: a classifier and its device each.
        fallback: on the CPU.
        check_every: every so many faces one is read on both; 0: never.
        held: all of them, closed with this.

    Attributes:
        size: side of the aligned face, pixels.
        crop: how faces must be cut out.
        colour: whether faces must be in colour, not grey.
        parallel: how many threads may read faces at a time.
    """

    def __init__(
        self,
        readers: Sequence[tuple[Classifier, SupervisedBackend]],
        fallback: Classifier,
        check_every: int,
        held: ExitStack,
    ) -> None:
        first = readers[0][0]
        self.size, self.crop, self.colour = first.size, first.crop, first.colour
        self.parallel = len(readers)
        self._readers, self._fallback, self._check_every, self._held = tuple(readers), fallback, check_every, held
        self._free = list(self._readers)
        self._read = 0
        self._changed, self._cpu = threading.Condition(), threading.Lock()

    @property
    def origin(self) -> Origin:
        """What reads faces now: the first device in service, else the CPU; and which device is away, and why."""
        reasons = [device.reason for _, device in self._readers]
        pairs = zip(self._readers, reasons, strict=True)
        reader = next((reader for (reader, _), reason in pairs if reason is None), self._fallback)
        return Origin(reader.model, reader.backend, next(filter(None, reasons), None))

    @property
    def recovery(self) -> dict[str, int]:
        """How often each recovery step of the devices was tried, by its name."""
        return dict(sum((Counter(device.recovery) for _, device in self._readers), Counter()))

    def changes(self) -> tuple[Change, ...]:
        """What happened to the devices since the last call, oldest first of each; for one thread."""
        return tuple(device.changes.popleft() for _, device in self._readers for _ in range(len(device.changes)))

    def classify(self, face: Image) -> Expression:
        """Read one face, see `Classifier.classify`; a device's failure is no error here."""
        with self._lease() as leased:
            if isinstance(leased, str):
                return self._read_on_cpu(face, leased)
            reader, device = leased
            try:
                expression = reader.classify(face)
            except BackendError as error:
                return self._read_on_cpu(face, str(error))
            if not self._is_sample():
                return expression
            wrong = f"{device.name} read a face otherwise than the CPU"
            expected = self._read_on_cpu(face, wrong)
            if agree(expression, expected):
                return expression
            device.mark_unhealthy(wrong)
            return expected

    def close(self) -> None:
        """Give all devices back, whichever fails."""
        self._held.close()

    @contextmanager
    def _lease(self) -> Iterator[tuple[Classifier, SupervisedBackend] | str]:
        """A device in service for one face, waiting for one that is busy; while there is none, why."""
        with self._changed:
            while True:
                reasons = [device.reason for _, device in self._readers]  # once: a device may come back meanwhile
                ready = [pair for pair, reason in zip(self._readers, reasons, strict=True) if reason is None]
                pair = next((pair for pair in ready if pair in self._free), None)
                if pair is not None or not ready:
                    break
                self._changed.wait()
            if pair is not None:
                self._free.remove(pair)
        try:
            yield pair or str(reasons[0])
        finally:
            if pair is not None:
                with self._changed:
                    self._free.append(pair)
                    self._changed.notify_all()

    def _is_sample(self) -> bool:
        with self._changed:
            self._read += 1
            return self._check_every > 0 and self._read % self._check_every == 0

    def _read_on_cpu(self, face: Image, reason: str | None) -> Expression:
        with self._cpu:  # an interpreter is for one thread
            expression = self._fallback.classify(_fit(face, self._fallback.size))
        return replace(expression, origin=Origin(self._fallback.model, self._fallback.backend, reason))


def open_reader(
    settings: ClassifySettings, store: ModelStore, cancelled: Callable[[], bool] = lambda: False
) -> Classifier | Failover:
    """Open the devices that the settings name, with whatever brings them back.

    `auto` takes all Edge TPUs where there is one, and else the CPU; where an Edge TPU cannot be used it says so. A
    device that is named must be there and work; from then on it is brought back like auto's. Once it is `cancelled`
    nothing is waited for, and what is returned is only good to be closed.

    Raises:
        ModelError: when a model is missing, corrupt or no classifier of this runtime.
        BackendError: when a device that is named does not work, or its network was not compiled.
    """
    for name in {settings.model, settings.fallback_model or settings.model}:
        store.spec(name, "classify")  # at once, and not when the device is away for the first time
    device, _, which = settings.backend.partition(":")
    tpus = list_tpus(settings.sysfs) if device in {"auto", "edgetpu"} else ()
    if device == "edgetpu":
        tpus = find_tpus(which, tpus)
    if not tpus:
        return open_classifier(settings, store)
    try:
        compiled = CompiledModel(store.load_compiled(settings.model, "classify"))
    except (BackendError, ModelError) as error:
        if device == "edgetpu":
            raise BackendError(str(error)) from error
        _log.warning("there is an Edge TPU, but faces are read on the CPU: %s", error)
        return _open_on_cpu(settings, store, settings.fallback_model or settings.model, str(error))
    failover = _open_failover(settings, store, tpus, compiled, cancelled)
    origin = failover.origin
    if cancelled():
        return failover
    if origin.backend == "cpu" and device == "edgetpu":
        failover.close()
        raise BackendError(origin.reason)
    if origin.reason is not None:
        _log.warning("faces are read on %s until all devices are well: %s", origin.backend, origin.reason)
    return failover


def _open_failover(
    settings: ClassifySettings,
    store: ModelStore,
    tpus: Sequence[Tpu],
    compiled: CompiledModel,
    cancelled: Callable[[], bool],
) -> Failover:
    """Open Edge TPUs, each behind its supervisor, and the CPU behind them; `compiled` is closed with them."""
    spec = store.spec(settings.model, "classify")
    with ExitStack() as stack:
        stack.enter_context(compiled)
        twin = stack.enter_context(_open_on_cpu(settings, store, settings.model))
        golden = [(face, twin.classify(face)) for face in golden_faces(twin.size)]
        fallback = stack.enter_context(_open_fallback(settings, store, twin))

        def check(backend: Backend) -> None:
            candidate = Classifier(settings.model, spec, backend)
            if not all(agree(candidate.classify(face), expected) for face, expected in golden):
                raise BackendError(
                    f"expected {backend.name} to read two golden faces as the CPU does, found other answers"
                )

        devices = [
            stack.enter_context(supervise(tpu, settings, compiled, (twin.inputs, twin.outputs), check)) for tpu in tpus
        ]
        for device in devices:
            device.wait_until_opened(cancelled)
        readers = [(Classifier(settings.model, spec, device), device) for device in devices]
        return Failover(readers, fallback, settings.check_every if fallback is twin else 0, stack.pop_all())


def supervise(
    tpu: Tpu,
    settings: ClassifySettings,
    compiled: CompiledModel,
    specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
    check: Callable[[Backend], None],
) -> SupervisedBackend:
    """Open one Edge TPU behind its supervisor.

    Args:
        tpu: the device.
        settings: of the classifier.
        compiled: its network.
        specs: its inputs and its outputs.
        check: raises BackendError when the device's answers are wrong.
    """
    options = EdgeTpuOptions(
        settings.edgetpu_library, settings.performance, settings.deadline_ms / 1e3, settings.start_deadline_s
    )
    usb = usb_steps(tpu.path, settings.dev, settings.usb_helper, power=settings.usb_power)
    steps = usb if tpu.kind == "usb" else ()
    policy = RecoveryPolicy(steps, Backoff(settings.retry_s, settings.retry_max_s), settings.park_s, settings.steady_s)
    return SupervisedBackend(
        f"edgetpu:{tpu.name}",
        *specs,
        connect=lambda cancelled: EdgeTpuBackend(tpu, compiled, options, cancelled),
        check=check,
        policy=policy,
        presence=lambda: device_number(tpu.path),
        idle_s=settings.idle_s,
    )


def agree(one: Expression, other: Expression) -> bool:
    """Whether two devices read a face alike, within what rounding differs in."""
    return max(abs(p - q) for p, q in zip(one.probabilities, other.probabilities, strict=True)) <= TOLERANCE


def golden_faces(size: int) -> tuple[Image, ...]:
    """Pictures that a device has to read as the CPU does: soft patches, alike on every machine.

    Args:
        size: side, pixels.

    Returns:
        Two `(size, size)` uint8 arrays, grey, that the shipped classifiers read differently: a device that goes on
        giving its last answer fails, too.
    """
    patches = (np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8) for seed in _GOLDEN_SEEDS)
    return tuple(
        np.asarray(cv2.resize(patch, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8) for patch in patches
    )


def _open_fallback(settings: ClassifySettings, store: ModelStore, twin: Classifier) -> Classifier:
    """What reads faces on the CPU: the same network, or another one in its place."""
    if settings.fallback_model in {None, twin.model}:
        return twin
    twin.close()
    fallback = _open_on_cpu(settings, store, settings.fallback_model or twin.model)
    if fallback.crop != twin.crop:
        fallback.close()
        raise ModelError(
            f"expected a fallback_model that takes faces cut out like those of `{twin.model}`, found "
            f"`{fallback.model}` with {fallback.crop}; choose another"
        )
    fallback.classify(golden_faces(fallback.size)[0])  # the first one takes longer
    return fallback


def _open_on_cpu(settings: ClassifySettings, store: ModelStore, model: str, reason: str | None = None) -> Classifier:
    content = store.load(model, "classify")
    backend = open_backend("cpu", content, threads=settings.threads)
    return Classifier(model, store.spec(model, "classify"), backend, reason)


def _fit(face: Image, size: int) -> Image:
    """A face for a network with an input of another size."""
    if face.shape[0] == size:
        return face
    return np.asarray(cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
