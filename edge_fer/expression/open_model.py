"""Opens what reads expressions, on the devices that the settings name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from edge_fer.common.backoff import Backoff
from edge_fer.errors import BackendError, ModelError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.classifier import Classifier, open_classifier, open_network
from edge_fer.expression.ensemble import Ensemble
from edge_fer.expression.failover import Failover, agree
from edge_fer.expression.feature_branch import open_branch
from edge_fer.expression.golden_faces import golden_faces
from edge_fer.inference import Backend, TensorSpec
from edge_fer.inference.edgetpu.backend import CompiledModel, EdgeTpuBackend, EdgeTpuOptions, find_tpus
from edge_fer.inference.edgetpu.devices import Tpu, device_number, list_tpus
from edge_fer.inference.edgetpu.recovery import RecoveryPolicy, usb_steps
from edge_fer.inference.manifest import EnsembleSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.supervised import SupervisedBackend
from edge_fer.settings import ClassifySettings

_log = logging.getLogger(__name__)


def open_expression_model(
    settings: ClassifySettings,
    store: ModelStore,
    cancelled: Callable[[], bool] = lambda: False,
    is_hot: Callable[[], bool] = lambda: False,
) -> ExpressionModel:
    """Open the devices that the settings name, with whatever brings them back.

    `auto` takes all Edge TPUs where there is one, and else the CPU; where an Edge TPU cannot be used it says so. A
    device that is named must be there and work; from then on it is brought back like auto's. Once it is `cancelled`
    nothing is waited for, and what is returned is only good to be closed.

    Args:
        settings: devices, model and deadlines.
        store: the folder of networks.
        cancelled: asked while devices are opened; when true, nothing is waited for.
        is_hot: asked before each face whether an ensemble should spare the machine.

    Raises:
        ModelError: when a model is missing, corrupt or no classifier of this runtime.
        BackendError: when a device that is named does not work, or its network was not compiled.
    """
    spec = store.expression_model(settings.model)
    if settings.fallback_model is not None:
        store.spec(settings.fallback_model, "classify")  # at once, not when the device is away for the first time
    device, _, which = settings.backend.partition(":")
    tpus = list_tpus(settings.sysfs) if device in {"auto", "edgetpu"} else ()
    if device == "edgetpu":
        tpus = find_tpus(which, tpus)
    if isinstance(spec, EnsembleSpec):
        return _open_ensemble(settings, store, spec, tpus, cancelled, is_hot)
    return _open_on(settings, store, tpus, cancelled)


def _open_ensemble(
    settings: ClassifySettings,
    store: ModelStore,
    spec: EnsembleSpec,
    tpus: Sequence[Tpu],
    cancelled: Callable[[], bool],
    is_hot: Callable[[], bool],
) -> Ensemble:
    """Open every member, on Edge TPUs of its own as far as they go round, and else on the CPU."""
    shares = _share_out(tpus, spec, store)
    with ExitStack() as stack:
        models = []
        for place, member in enumerate(spec.members):
            changes = {"model": member.name, "fallback_model": settings.fallback_model if place == 0 else None}
            share = shares.get(member.name, ())
            if tpus and not share:
                changes["backend"] = "cpu"
                why = "it was not compiled" if member.name not in shares else "there are fewer Edge TPUs than members"
                _log.warning("`%s` of `%s` is read on the CPU: %s", member.name, settings.model, why)
            one = settings.model_copy(update=changes)
            models.append(stack.enter_context(_open_on(one, store, share, cancelled)))
        ensemble = Ensemble(settings.model, spec, models, is_hot)
        stack.pop_all()
    return ensemble


def _share_out(tpus: Sequence[Tpu], spec: EnsembleSpec, store: ModelStore) -> dict[str, Sequence[Tpu]]:
    """Which Edge TPUs each member gets: in turns, the best member first, among those that were compiled."""
    compiled = [member.name for member in spec.members if store.spec(member.name, "classify").edgetpu is not None]
    takers = compiled or [spec.members[0].name]  # which then says that it was not compiled
    return {name: tpus[place :: len(takers)] for place, name in enumerate(takers)}


def _open_on(
    settings: ClassifySettings, store: ModelStore, tpus: Sequence[Tpu], cancelled: Callable[[], bool]
) -> ExpressionModel:
    """Open one classifier on Edge TPUs, or where there are none on the device that the settings name."""
    if not tpus:
        return open_classifier(settings, store)
    named = settings.backend.partition(":")[0] == "edgetpu"
    try:
        compiled = CompiledModel(store.load_compiled(settings.model, "classify"))
    except (BackendError, ModelError) as error:
        if named:
            raise BackendError(str(error)) from error
        _log.warning("there is an Edge TPU, but faces are read on the CPU: %s", error)
        return _open_on_cpu(settings, store, settings.fallback_model or settings.model, str(error))
    failover = _open_failover(settings, store, tpus, compiled, cancelled)
    origin = failover.origin
    if cancelled():
        return failover
    if origin.backend == "cpu" and named:
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
    tolerance = spec.failover.tolerance
    with ExitStack() as stack:
        stack.enter_context(compiled)
        twin = stack.enter_context(_open_on_cpu(settings, store, settings.model))
        golden = [(face, twin.classify(face)) for face in golden_faces(spec)]
        fallback = stack.enter_context(_open_fallback(settings, store, twin))
        branch = open_branch(store, settings.model, spec)
        if branch is not None:
            stack.enter_context(branch)

        def check(backend: Backend) -> None:
            candidate = Classifier(settings.model, spec, backend, branch=branch)
            if not all(agree(candidate.classify(face), expected, tolerance) for face, expected in golden):
                raise BackendError(
                    f"expected {backend.name} to read the golden faces as the CPU does, found other answers"
                )

        devices = [
            stack.enter_context(supervise(tpu, settings, compiled, (twin.inputs, twin.outputs), check)) for tpu in tpus
        ]
        for device in devices:
            device.wait_until_opened(cancelled)
        readers = [(Classifier(settings.model, spec, device, branch=branch), device) for device in devices]
        check_every = settings.check_every if fallback is twin else 0
        return Failover(readers, fallback, check_every, tolerance, stack.pop_all())


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


def _open_fallback(settings: ClassifySettings, store: ModelStore, twin: Classifier) -> Classifier:
    """What reads faces on the CPU: the same network, or another one in its place."""
    if settings.fallback_model in {None, twin.model}:
        return twin
    twin.close()
    fallback = _open_on_cpu(settings, store, settings.fallback_model or twin.model)
    if (fallback.crop, fallback.colour) != (twin.crop, twin.colour):
        fallback.close()
        raise ModelError(
            f"expected a fallback_model that takes faces cut out like those of `{twin.model}`, found "
            f"`{fallback.model}` with {fallback.crop}{', in colour' if fallback.colour else ''}; choose another"
        )
    return fallback


def _open_on_cpu(settings: ClassifySettings, store: ModelStore, model: str, reason: str | None = None) -> Classifier:
    return open_network(store, model, "cpu", settings.threads, reason)
