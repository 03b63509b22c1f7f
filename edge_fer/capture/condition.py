"""The condition of a source: now, and every change since it was last asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

from edge_fer.common.text import printable

CameraState = Literal["starting", "running", "waiting_for_camera", "ended"]

_MAX_CHANGES = 32


class Condition(NamedTuple):
    """The state of a source.

    Attributes:
        state: `ended` is final: the source is at its end, failed or was stopped, and its last frame was taken.
        message: one sentence about it, for a person.
    """

    state: CameraState
    message: str


class ConditionLog:
    """Written by the thread that reads a source, read in any; of more than 32 changes it keeps the newest.

    Args:
        message: the sentence of the first condition, `starting`.
    """

    def __init__(self, message: str) -> None:
        self._lock = threading.Lock()
        self._current = Condition("starting", message)
        self._changes: deque[Condition] = deque(maxlen=_MAX_CHANGES)

    def report(self, state: CameraState, message: str) -> None:
        """Set the condition."""
        with self._lock:
            self._current = Condition(state, printable(message))
            self._changes.append(self._current)

    @property
    def current(self) -> Condition:
        """The condition that was reported last."""
        with self._lock:
            return self._current

    def take(self, may_end: Callable[[], bool]) -> tuple[Condition, ...]:
        """The conditions that were reported since the last call, oldest first.

        Args:
            may_end: whether `ended` is taken, too; else it is kept for a later call. Called once `ended` is the next
                condition and not before, since what it depends on may change until then.
        """
        taken = []
        with self._lock:
            while self._changes and (self._changes[0].state != "ended" or may_end()):
                taken.append(self._changes.popleft())
        return tuple(taken)
