"""What runs tasks: the processes of this machine (`local`), or a Ray cluster (`ray`), opened by its short name.

The seam is small: hand in a task, ask what has happened since. Which task runs where, and what becomes of a worker that
dies, is the engine's; what a task does, and what is to be done next, is not.
"""

from __future__ import annotations

from types import TracebackType
from typing import Literal, NamedTuple, Protocol

from typing_extensions import Self

from edge_fer.archive.tasks import Outcome, Task

EngineName = Literal["local", "ray"]

RETRIES = 2
"""A task whose worker died is given to so many others before it counts as failed."""


class Told(NamedTuple):
    """Some frames of a task are done.

    Attributes:
        task: the task.
        frames: how many, since it was told last.
        length: of all frames of the film; None where unknown.
    """

    task: Task
    frames: int
    length: int | None


class Done(NamedTuple):
    """A task is done.

    Attributes:
        task: the task.
        outcome: what it came to.
    """

    task: Task
    outcome: Outcome


Event = Told | Done


class Engine(Protocol):
    """Runs tasks, several at a time; a context manager, which ends all of them."""

    @property
    def slots(self) -> int:
        """So many tasks keep it busy; more than that need not be handed in."""
        ...

    def submit(self, task: Task) -> None:
        """Hand in a task."""
        ...

    def wait(self, timeout_s: float) -> list[Event]:
        """What has happened since the last call; empty when nothing happened in that time.

        Raises:
            EdgeFerError: when no task can be run any more.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all tasks, finished or not."""
        ...


def open_engine(name: EngineName, *, workers: int, address: str | None = None) -> Engine:
    """Open an engine.

    Args:
        name: which one.
        workers: processes of `local`.
        address: the cluster of `ray`; None: the one that is found, else one on this machine.

    Raises:
        ConfigError: when its library is missing, or there is no cluster at that address.
    """
    if name == "ray":
        from edge_fer.archive.engines.ray import RayEngine

        return RayEngine(address)
    from edge_fer.archive.engines.local import LocalEngine

    return LocalEngine(workers)
