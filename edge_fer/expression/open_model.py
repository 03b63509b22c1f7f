"""Opens what reads expressions, on the devices that the settings name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, ModelError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.classifier import Classifier, open_classifier, open_network
from edge_fer.expression.devices import golden_check, server_of, supervise_remote
from edge_fer.expression.ensemble import Ensemble
from edge_fer.expression.failover import Failover
from edge_fer.expression.feature_branch import open_branch
from edge_fer.expression.golden_faces import golden_faces, sampled_golden_faces
from edge_fer.inference.edgetpu.backend import CompiledModel, find_tpus
from edge_fer.inference.edgetpu.devices import Tpu, list_tpus
from edge_fer.inference.manifest import ClassifierSpec, EnsembleSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.remote.connection import Server
from edge_fer.inference.shared_tpu import SharedTpu
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.inference.supervised_tpu import Check, Job, supervise_tpu
from edge_fer.settings import ClassifySettings
from edge_fer.types import AlignedFace, Origin

_log = logging.getLogger(__name__)


def open_expression_model(
    settings: ClassifySettings,
    store: ModelStore,
    cancelled: Callable[[], bool] = lambda: False,
    is_hot: Callable[[], bool] = lambda: False,
    detector_tpu: SharedTpu | None = None,
) -> ExpressionModel:
    """Open the devices that the settings name, with whatever brings them back.

    `auto` takes all Edge TPUs where there is one, and else the CPU; where an Edge TPU cannot be used it says so. A
    device that is named must be there and work; from then on it is brought back like auto's. Another computer may come
    later. Once it is `cancelled` nothing is waited for, and what is returned is only good to be closed.

    Args:
        settings: devices, model and deadlines.
        store: the folder of networks.
        cancelled: asked while devices are opened; when true, nothing is waited for.
        is_hot: asked before each face whether an ensemble should spare the machine.
        detector_tpu: the Edge TPU that the detector uses; faces are read on it, too, where there is no other one.

    Raises:
        ModelError: when a model is missing, corrupt or no classifier of this runtime.
        BackendError: when a device that is named does not work, or its network was not compiled.
        ConfigError: when a file of `classify.remote` cannot be used.
    """
    spec = store.expression_model(settings.model)
    if settings.fallback_model is not None:
        store.spec(settings.fallback_model, "classify")  # at once, not when the device is away for the first time
    device, _, which = settings.backend.partition(":")
    tpus = list_tpus(settings.sysfs) if device in {"auto", "edgetpu"} else ()
    if device == "edgetpu":
        tpus = find_tpus(which, tpus)
    tpus = tuple(tpu for tpu in tpus if detector_tpu is None or tpu != detector_tpu.tpu) or tpus
    if isinstance(spec, EnsembleSpec):
        return _open_ensemble(settings, store, spec, tpus, cancelled, is_hot, detector_tpu)
    return _open_on(settings, store, tpus, cancelled, detector_tpu)


def _open_ensemble(
    settings: ClassifySettings,
    store: ModelStore,
    spec: EnsembleSpec,
    tpus: Sequence[Tpu],
    cancelled: Callable[[], bool],
    is_hot: Callable[[], bool],
    detector_tpu: SharedTpu | None,
) -> Ensemble:
    """Open every member, on Edge TPUs of its own as far as they go round, and else on the CPU."""
    shares = share_out(tpus, spec, store)
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
            models.append(stack.enter_context(_open_on(one, store, share, cancelled, detector_tpu)))
        ensemble = Ensemble(settings.model, spec, models, is_hot)
        stack.pop_all()
    return ensemble


def share_out(tpus: Sequence[Tpu], spec: EnsembleSpec, store: ModelStore) -> dict[str, Sequence[Tpu]]:
    """Which Edge TPUs each member of an ensemble gets: in turns, the best first, among those that were compiled.

    Args:
        tpus: the Edge TPUs.
        spec: the ensemble.
        store: the folder of networks.
    """
    compiled = [member.name for member in spec.members if store.spec(member.name, "classify").edgetpu is not None]
    takers = compiled or [spec.members[0].name]  # which then says that it was not compiled
    return {name: tpus[place :: len(takers)] for place, name in enumerate(takers)}


def _open_on(
    settings: ClassifySettings,
    store: ModelStore,
    tpus: Sequence[Tpu],
    cancelled: Callable[[], bool],
    detector_tpu: SharedTpu | None = None,
) -> ExpressionModel:
    """Open one classifier on the computer that the settings name, on Edge TPUs, or on this computer's CPU."""
    server = server_of(settings)
    if server is not None:
        return _open_remote(settings, store, server, cancelled)
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

    def supervise(tpu: Tpu, twin: Classifier, check: Check) -> SupervisedDevice:
        job = Job(compiled, (twin.inputs, twin.outputs), check)
        if detector_tpu is not None and tpu == detector_tpu.tpu:
            return detector_tpu.join(job)
        return supervise_tpu(tpu, settings, [job])

    openers = [partial(supervise, tpu) for tpu in tpus]
    failover = _open_failover(settings, store, openers, golden_faces, cancelled, held=(compiled,))
    origin = failover.origin
    if cancelled():
        return failover
    if origin.backend == "cpu" and named:
        failover.close()
        raise BackendError(origin.reason)
    _tell_replacement(origin)
    return failover


def _open_remote(
    settings: ClassifySettings, store: ModelStore, server: Server, cancelled: Callable[[], bool]
) -> ExpressionModel:
    """Open a classifier on another computer, which may start later than this one: until then the CPU reads faces."""
    spec = store.spec(settings.model, "classify")
    if spec.region is not None:
        raise ModelError(
            f"expected a network that another computer can run, found `{settings.model}`, two networks with a cut "
            "between them, for the CPU; choose `classify.backend: cpu`"
        )

    def supervise(twin: Classifier, check: Check) -> SupervisedDevice:
        return supervise_remote(server, settings, spec, twin, check)

    failover = _open_failover(settings, store, [supervise], sampled_golden_faces, cancelled)
    if not cancelled():
        _tell_replacement(failover.origin)
    return failover


def _tell_replacement(origin: Origin) -> None:
    if origin.reason is not None:
        _log.warning("faces are read on %s until all devices are well: %s", origin.backend, origin.reason)


def _open_failover(
    settings: ClassifySettings,
    store: ModelStore,
    openers: Sequence[Callable[[Classifier, Check], SupervisedDevice]],
    golden: Callable[[ClassifierSpec], Sequence[AlignedFace]],
    cancelled: Callable[[], bool],
    held: Sequence[Closeable] = (),
) -> Failover:
    """Open devices, each behind its supervisor, and the CPU behind them.

    Args:
        settings: of the classifier.
        store: the folder of networks.
        openers: open a device each, given the network on the CPU, and a check.
        golden: what the devices must read as the CPU does.
        cancelled: asked while devices are opened; when true, nothing is waited for.
        held: closed after the devices, and where that fails.
    """
    spec = store.spec(settings.model, "classify")
    with ExitStack() as stack:
        for one in held:
            stack.enter_context(one)
        twin = stack.enter_context(_open_on_cpu(settings, store, settings.model))
        branch = open_branch(store, settings.model, spec)
        if branch is not None:
            stack.enter_context(branch)
        check = golden_check(spec, twin, branch, golden(spec))
        fallback = stack.enter_context(_open_fallback(settings, store, twin))
        devices = [stack.enter_context(opener(twin, check)) for opener in openers]
        for device in devices:
            device.wait_until_opened(cancelled)
        readers = [(Classifier(settings.model, spec, device, branch=branch), device) for device in devices]
        check_every = settings.check_every if fallback is twin else 0
        return Failover(readers, fallback, check_every, spec.failover.tolerance, stack.pop_all())


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
