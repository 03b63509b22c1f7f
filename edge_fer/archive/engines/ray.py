"""A Ray cluster: one task of Ray's for each of ours.

Ray gives the task of a worker or machine that dies to another one. The rest is as on one machine: tasks read recordings
and write parts and tables themselves, in folders that all machines see.
"""

from __future__ import annotations

import logging
import os
import socket
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from edge_fer.archive.engines import RETRIES, Done, Event
from edge_fer.archive.tasks import Failure, Outcome, Task, perform
from edge_fer.common.closeable import Closeable
from edge_fer.common.memory import give_back, limit_arenas
from edge_fer.common.text import first_line, redact
from edge_fer.errors import ConfigError

_ANSWER_S = 10.0
_AHEAD = 2  # tasks in flight for each processor: one runs, one is there when it ends


class RayEngine(Closeable):
    """See `edge_fer.archive.engines.Engine`.

    Args:
        address: of the cluster, such as `auto` or `ray://head:10001`; None: the one that is found, else one on this
            machine.

    Raises:
        ConfigError: when Ray is missing, or there is no cluster at the address.
    """

    def __init__(self, address: str | None) -> None:
        if find_spec("ray") is None:
            raise ConfigError("expected Ray for --engine ray, found none; pip install '.[archive,ray]' in its checkout")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes to anybody whom nobody has named
        import ray

        try:
            _check_answers(address)
            ray.init(
                address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if address is None else None,
            )
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"expected a Ray cluster at {redact(address or 'this machine')}, found: {redact(first_line(error))}; "
                "start one with `ray start --head`, or correct --address"
            ) from error
        self._ray = ray
        self._perform = ray.remote(num_cpus=1, max_retries=RETRIES)(_perform)
        self._running: dict[Any, Task] = {}

    @property
    def slots(self) -> int:
        """Two tasks for each processor that the cluster has now."""
        return _AHEAD * max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def submit(self, task: Task) -> None:
        """Hand in a task; see `Engine.submit`."""
        self._running[self._perform.remote(task)] = task

    def wait(self, timeout_s: float) -> list[Event]:
        """What has happened; see `Engine.wait`."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        return [Done(self._running.pop(one), self._outcome(one)) for one in ready]

    def close(self) -> None:
        """Cancel what runs, and leave the cluster."""
        for one in self._running:
            self._ray.cancel(one, force=True)
        self._running.clear()
        self._ray.shutdown()

    def _outcome(self, reference: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Failure("worker", f"its worker died {RETRIES + 1} times: {redact(first_line(error))}")
        return outcome


def _check_answers(address: str | None) -> None:
    """Check that something answers at an address: Ray itself goes on trying for minutes.

    Raises:
        OSError: when nothing does.
        ValueError: when it is no address.
    """
    if address is None or address in {"auto", "local"}:
        return
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if parts.hostname is None or parts.port is None:
        raise ValueError("no HOST:PORT; name auto, HOST:PORT or ray://HOST:PORT")
    with socket.create_connection((parts.hostname, parts.port), _ANSWER_S):
        pass


def _perform(task: Task) -> Outcome:
    """Do a task in a process of Ray's."""
    limit_arenas()
    try:
        return perform(task, lambda *_: None)
    finally:
        give_back()
