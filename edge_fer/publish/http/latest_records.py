"""The newest records of a run, and the health that follows from them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edge_fer.common.deadline import stuck_sentence
from edge_fer.schema import Reading, Record, Status

What = Literal["starting", "no_camera", "no_reading", "stuck", "stopping", "degraded", "sink"]
"""Later versions may add some."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is wrong.

    Attributes:
        what: for a program, one of `What`.
        why: for a person.
    """

    what: What
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the box does its work: the record `edge-fer/health/1`.

    Attributes:
        healthy: whether readings come.
        degraded: whether something is replaced, missing or not as it should be; the box may be healthy all the same.
        reasons: why it is unhealthy or degraded, the gravest first.
        lost: on a stream, readings that this client was too slow for; else 0.
    """

    schema: Literal["edge-fer/health/1"] = "edge-fer/health/1"
    healthy: bool
    degraded: bool
    reasons: tuple[Reason, ...]
    lost: int = 0


class _Latest(NamedTuple):
    """The records at one moment.

    Attributes:
        reading: the last reading; None before the first.
        status: the last status; None before the first.
        newest: the later of both; None before the first.
        read_s: when the last reading came, seconds of the clock.
        newest_s: when the newest record came, seconds of the clock.
    """

    reading: Reading | None
    status: Status | None
    newest: Reading | Status | None
    read_s: float
    newest_s: float


class LatestRecords:
    """The newest records, updated in one thread and read in any.

    There is no lock: an update replaces one immutable tuple, and a reader takes that tuple once, so all that it derives
    from it is of one moment.

    Args:
        stale_s: unhealthy when there was no reading for so long, seconds.
        clock: seconds that never go backwards.
    """

    def __init__(self, stale_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stale_s, self._clock = stale_s, clock
        now = clock()
        self._latest = _Latest(None, None, None, now, now)

    def update(self, record: Record) -> None:
        """Take the next record of the run; that of a face that has left says nothing of how the run is now."""
        now = self._clock()
        if isinstance(record, Reading):
            self._latest = self._latest._replace(reading=record, newest=record, read_s=now, newest_s=now)
        elif isinstance(record, Status):
            self._latest = self._latest._replace(status=record, newest=record, newest_s=now)

    @property
    def status(self) -> Status | None:
        """The last status; None before the first."""
        return self._latest.status

    @property
    def newest(self) -> Reading | Status | None:
        """The last reading or status; None before the first."""
        return self._latest.newest

    @property
    def has_read(self) -> bool:
        """Whether a reading has come."""
        return self._latest.reading is not None

    @property
    def reading_age_s(self) -> float | None:
        """Seconds since the last reading came; None before the first."""
        latest = self._latest
        return None if latest.reading is None else self._clock() - latest.read_s

    @property
    def faces(self) -> int | None:
        """Faces in view; None while nobody can know: before the first reading, and while no frame is read."""
        latest = self._latest
        if latest.reading is None:
            return None
        is_blind = isinstance(latest.newest, Status) and latest.newest.state in ("waiting_for_camera", "stopping")
        is_stale = self._clock() - latest.read_s >= self._stale_s
        return None if is_blind or is_stale else len(latest.reading.faces)

    def health(self, lost: int = 0) -> Health:
        """The health now.

        Args:
            lost: see `Health`.
        """
        latest = self._latest
        fault, degradations = self._fault(latest), _degradations(latest)
        reasons = (*([fault] if fault else []), *degradations)
        return Health(healthy=fault is None, degraded=bool(degradations), reasons=reasons, lost=lost)

    def _fault(self, latest: _Latest) -> Reason | None:
        """Why no readings come, or soon will not."""
        status, now = latest.status, self._clock()
        if status is None:
            return Reason("starting", "no status has come yet")
        silent_s, unread_s = now - latest.newest_s, now - latest.read_s
        faults: tuple[tuple[What, bool, str], ...] = (
            ("starting", latest.reading is None and status.state == "starting", status.message),
            ("stopping", status.state == "stopping", status.message),
            ("stuck", silent_s >= self._stale_s, f"the loop has been silent for {silent_s:.0f} s"),
            ("stuck", status.stuck is not None, stuck_sentence(str(status.stuck))),
            ("no_camera", status.state == "waiting_for_camera", status.message),
            ("no_reading", unread_s >= self._stale_s, f"no frame was read for {unread_s:.0f} s"),
        )
        return next((Reason(what, why) for what, is_so, why in faults if is_so), None)


def _degradations(latest: _Latest) -> list[Reason]:
    """What is replaced, missing or not as it should be; this includes a sink that waits for its link."""
    newest, status = latest.newest, latest.status
    reasons = []
    if isinstance(newest, Reading) and newest.reason is not None:
        reasons.append(Reason("degraded", newest.reason))
    elif status is not None and status.state == "degraded":
        reasons.append(Reason("degraded", status.message))
    sinks = status.sinks.items() if status is not None else ()
    reasons += [Reason("sink", f"{name} is {sink.state}: {sink.reason}") for name, sink in sinks
                if sink.state != "ok" and sink.reason is not None]  # fmt: skip
    return reasons
