"""What was heard last, and whether that is well."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge_fer.common.deadline import stuck_sentence
from edge_fer.schema import Reading, Record, Status

What = Literal["starting", "no_camera", "no_reading", "stuck", "stopping", "degraded", "sink"]
"""Later versions may add some."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why all is not well.

    Attributes:
        what: for a program, one of `What`.
        why: for a person.
    """

    what: What
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the box does what it is there for: the record `edge-fer/health/1`.

    Attributes:
        healthy: readings come.
        degraded: something is replaced, missing or not as it should be; the box may be healthy all the same.
        reasons: why it is not both healthy and whole, the gravest first.
        lost: on a stream, readings that this client was too slow for; else 0.
    """

    schema: Literal["edge-fer/health/1"] = "edge-fer/health/1"
    healthy: bool
    degraded: bool
    reasons: tuple[Reason, ...]
    lost: int = 0


class Observed:
    """The newest records; written in one thread and read in others.

    Args:
        stale_s: unhealthy when there was no reading for so long, seconds.
        clock: seconds that never go backwards.

    Attributes:
        reading: the last one; null before the first.
        status: the last one; null before the first.
        newest: whichever came last; null before the first.
    """

    def __init__(self, stale_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.reading: Reading | None = None
        self.status: Status | None = None
        self.newest: Record | None = None
        self._stale_s, self._clock = stale_s, clock
        self._heard_at = self._read_at = clock()

    def hear(self, record: Record) -> None:
        """Note a record."""
        self._heard_at, self.newest = self._clock(), record
        if isinstance(record, Reading):
            self._read_at, self.reading = self._heard_at, record
        else:
            self.status = record

    @property
    def reading_age_s(self) -> float | None:
        """Since the last reading came, seconds; null before the first."""
        return None if self.reading is None else self._clock() - self._read_at

    @property
    def faces(self) -> int | None:
        """How many are in view; 0 while there is no view; null before the first reading."""
        if self.reading is None:
            return None
        is_blind = isinstance(self.newest, Status) and self.newest.state in ("waiting_for_camera", "stopping")
        return 0 if is_blind or self._clock() - self._read_at >= self._stale_s else len(self.reading.faces)

    def health(self, lost: int = 0) -> Health:
        """How it is now.

        Args:
            lost: told along, see `Health`.
        """
        ill, worn = self._illness(), self._wear()
        reasons = (*([ill] if ill else []), *worn)
        return Health(healthy=ill is None, degraded=bool(worn), reasons=reasons, lost=lost)

    def _illness(self) -> Reason | None:
        """Why no readings come, or why they soon will not."""
        status, now = self.status, self._clock()
        if status is None:
            return Reason("starting", "nothing was heard yet")
        silent_s, unread_s = now - self._heard_at, now - self._read_at
        signs: tuple[tuple[What, bool, str], ...] = (
            ("starting", self.reading is None and status.state == "starting", status.message),
            ("stopping", status.state == "stopping", status.message),
            ("stuck", silent_s >= self._stale_s, f"the loop has been silent for {silent_s:.0f} s"),
            ("stuck", status.stuck is not None, stuck_sentence(str(status.stuck))),
            ("no_camera", status.state == "waiting_for_camera", status.message),
            ("no_reading", unread_s >= self._stale_s, f"no frame was read for {unread_s:.0f} s"),
        )
        return next((Reason(what, why) for what, is_so, why in signs if is_so), None)

    def _wear(self) -> list[Reason]:
        """What is replaced, missing or not as it should be; a sink that waits for its link, too."""
        newest, status = self.newest, self.status
        reasons = []
        if isinstance(newest, Reading) and newest.reason is not None:
            reasons.append(Reason("degraded", newest.reason))
        elif status is not None and status.state == "degraded":
            reasons.append(Reason("degraded", status.message))
        sinks = status.sinks.items() if status is not None else ()
        reasons += [Reason("sink", f"{name} is {sink.state}: {sink.reason}") for name, sink in sinks
                    if sink.state != "ok" and sink.reason is not None]  # fmt: skip
        return reasons
