"""`edge-fer doctor`: what a machine has, what is wrong with it, and what to type to repair that.

Each subject is one file with a function from a `Host` to findings. Code that can crash or hang (an interpreter, the
Edge TPU's library) is tried in a child process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from edge_fer.doctor.accelerator import check_accelerator
from edge_fer.doctor.box import check_box
from edge_fer.doctor.cameras import check_cameras
from edge_fer.doctor.detector import check_detector
from edge_fer.doctor.finding import LEVELS, Finding
from edge_fer.doctor.host import Host
from edge_fer.doctor.library import check_library
from edge_fer.doctor.networks import check_networks, open_store
from edge_fer.doctor.remote import check_remote, check_serving
from edge_fer.doctor.software import check_software
from edge_fer.settings import Settings


def examine(host: Host, settings: Settings | None = None) -> tuple[Finding, ...]:
    """Examine all subjects.

    Args:
        host: the machine.
        settings: the folder of networks, the detector, and other computers; None: the defaults.
    """
    settings = settings or Settings()
    store, broken = open_store(settings.models)
    checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "software": partial(check_software, host),
        "accelerator": partial(check_accelerator, host, store),
        "detector": partial(check_detector, host, settings, store),
        "library": partial(check_library, host, store),
        "remote": partial(check_remote, settings.classify, store),
        "serve": partial(check_serving, settings.serve),
        "cameras": partial(check_cameras, host),
        "box": partial(check_box, host),
        "models": partial(check_networks, store) if store else lambda: broken,
    }
    return tuple(_named(checks))


def exit_code(findings: Sequence[Finding]) -> int:
    """The exit code: 0, 1 or 2 where the worst finding is ok, warn or fail."""
    return max((LEVELS.index(finding.level) for finding in findings), default=0)


def _named(checks: dict[str, Callable[[], Iterable[Finding]]]) -> Iterator[Finding]:
    for subject, check in checks.items():
        yield from (replace(finding, subject=subject) for finding in check())
