"""What is done to bring a device back, as whoever supervises it sees that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RecoveryAttempt:
    """What was done after a failure.

    Attributes:
        name: the step's name, or `restart`, `reconnect` or `parked`.
        text: a description for people.
        pause_s: pause before the next start, seconds.
    """

    name: str
    text: str
    pause_s: float


class Policy(Protocol):
    """What to do after each failure of a device."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each step was tried."""
        ...

    def succeeded(self) -> None:
        """Note that the device works."""
        ...

    def start_over(self) -> None:
        """Begin anew: it is another device, or the same one plugged in anew."""
        ...

    def failed(self, *, reset_may_help: bool = True) -> RecoveryAttempt:
        """Do what comes next, and say how long to wait before the next start.

        Args:
            reset_may_help: whether a reset of the device may help.
        """
        ...
