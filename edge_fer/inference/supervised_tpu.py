"""An Edge TPU behind its supervisor, as the settings say; with one network, or several that take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge_fer.common.backoff import Backoff
from edge_fer.errors import BackendError
from edge_fer.inference import Backend, TensorSpec
from edge_fer.inference.edgetpu.backend import CompiledModel, EdgeTpuBackend, EdgeTpuOptions
from edge_fer.inference.edgetpu.devices import Tpu, device_number
from edge_fer.inference.edgetpu.recovery import RecoveryPolicy, usb_steps
from edge_fer.inference.supervised import SupervisedBackend, check_kinds
from edge_fer.settings import ClassifySettings

Check = Callable[[Backend], None]
"""Raises BackendError when a device's answers are wrong."""

Specs = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
"""What a device takes, and what it gives."""


class Job(NamedTuple):
    """A network that an Edge TPU runs.

    Attributes:
        compiled: the network.
        specs: its inputs and its outputs.
        check: raises BackendError when the device's answers are wrong.
        work: what it does, for messages.
    """

    compiled: CompiledModel
    specs: Specs
    check: Check
    work: str = "faces are read"


def supervise_tpu(tpu: Tpu, settings: ClassifySettings, jobs: Sequence[Job]) -> SupervisedBackend:
    """Open one Edge TPU behind its supervisor.

    Args:
        tpu: the device.
        settings: of the device.
        jobs: its networks, one at least; the supervised backend is the first one.
    """
    options = EdgeTpuOptions(
        settings.edgetpu_library, settings.performance, settings.deadline_ms / 1e3, settings.start_deadline_s
    )
    usb = usb_steps(tpu.path, settings.dev, settings.usb_helper, power=settings.usb_power)
    steps = usb if tpu.kind == "usb" else ()
    policy = RecoveryPolicy(steps, Backoff(settings.retry_s, settings.retry_max_s), settings.park_s, settings.steady_s)
    first, *others = jobs
    compiled = [job.compiled for job in others]

    def check(backend: Backend) -> None:
        first.check(backend)
        if others:
            _check_others(backend, others)

    return SupervisedBackend(
        f"edgetpu:{tpu.name}",
        *first.specs,
        connect=lambda cancelled: EdgeTpuBackend(tpu, first.compiled, options, cancelled, compiled),
        check=check,
        policy=policy,
        presence=lambda: device_number(tpu.path),
        idle_s=settings.idle_s,
        work=" and ".join(dict.fromkeys(job.work for job in jobs)),
    )


def _check_others(backend: Backend, jobs: Sequence[Job]) -> None:
    """Check the networks of an Edge TPU after the first one."""
    if not isinstance(backend, EdgeTpuBackend):
        raise BackendError(f"expected an Edge TPU with several networks, found {backend.name}")
    for job, network in zip(jobs, backend.networks[1:], strict=True):
        check_kinds(network.name, network, *job.specs)
        job.check(network)
