"""The texts for a ground station: one when a fault begins, and one when it is over."""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_fer.schema import Reading, Record, Status

FAULT_INTERVAL_S = 5.0
"""Seconds between two texts about the same fault, at least, so that a loose plug leaves the link to the faces."""

ERROR, WARNING, NOTICE = 3, 4, 5
"""Values of MAVLink's MAV_SEVERITY."""

_CHUNK = 50  # bytes of text in a STATUSTEXT
_CHUNKS = 3
_CAMERA, _DEGRADED = "camera lost", "degraded"


class Notice(NamedTuple):
    """One text.

    Attributes:
        fault: the fault that it is about.
        severity: a value of MAV_SEVERITY.
        text: the text for a person.
    """

    fault: str
    severity: int
    text: str


class Faults:
    """Finds faults in the records, and keeps track of which of them the listener knows.

    Args:
        name: the name of the sink that sends the texts; its own faults are left out.
        interval_s: seconds between two texts about the same fault, at least.
    """

    def __init__(self, name: str, interval_s: float = FAULT_INTERVAL_S) -> None:
        self._name, self._interval_s = name, interval_s
        self._present: dict[str, str] = {}  # why, by fault
        self._reported: dict[str, float] = {}  # faults whose beginning was sent and whose end was not, and when
        self._over: dict[str, float] = {}  # faults whose end was sent, and when

    def update(self, record: Record) -> None:
        """Take the next record of the run."""
        if isinstance(record, Reading):
            self._set(_CAMERA, None)
            self._set(_DEGRADED, record.reason)
        elif isinstance(record, Status):
            self._update_status(record)

    def _update_status(self, status: Status) -> None:
        if status.state == "waiting_for_camera":
            self._set(_CAMERA, status.message)
        elif status.state in {"running", "degraded"}:
            self._set(_CAMERA, None)
        for name, sink in status.sinks.items():
            if name != self._name:
                self._set(f"{name} failed", (sink.reason or "") if sink.state == "failed" else None)

    def next(self, now_s: float) -> Notice | None:
        """The next text to send, beginnings first; None: there is none.

        Args:
            now_s: the time now, in seconds that never go backwards.
        """
        for fault, why in self._present.items():
            if fault not in self._reported and now_s - self._over.get(fault, -math.inf) >= self._interval_s:
                severity = ERROR if fault == _CAMERA else WARNING
                return Notice(fault, severity, f"FER {fault}: {why}" if why else f"FER {fault}")
        for fault, at_s in self._reported.items():
            if fault not in self._present and now_s - at_s >= self._interval_s:
                return Notice(fault, NOTICE, f"FER {fault}: well again")
        return None

    def mark_sent(self, notice: Notice, now_s: float) -> None:
        """Note that a text was sent.

        Args:
            notice: the text.
            now_s: the time now, seconds.
        """
        if notice.severity == NOTICE:
            del self._reported[notice.fault]
            self._over[notice.fault] = now_s
        else:
            self._reported[notice.fault] = now_s

    def reset(self) -> None:
        """Start anew for a new listener: the faults that exist are sent once more."""
        self._reported.clear()
        self._over.clear()

    def _set(self, fault: str, why: str | None) -> None:
        if why is None:
            self._present.pop(fault, None)
        else:
            self._present[fault] = why


def chunks(text: str) -> list[bytes]:
    """Split a text for STATUSTEXT: at most three chunks of at most 50 bytes of UTF-8, without splitting a character.

    A zero ends the text, so each chunk but the last has 50 bytes, and the last of several has fewer.

    Args:
        text: the text, which is cut off where it is too long.
    """
    room = _CHUNK * _CHUNKS - 1 - 3 * (_CHUNKS - 1)  # a character of 4 bytes may leave 3 unused at a chunk's end
    rest = " ".join(text.replace("\0", " ").split()).encode()
    if len(rest) > room:
        rest = rest[: room - 3].decode(errors="ignore").encode() + b"..."
    pieces = []
    while len(rest) > _CHUNK:
        piece = rest[:_CHUNK].decode(errors="ignore").encode()
        pieces.append(piece.ljust(_CHUNK))
        rest = rest[len(piece) :]
    pieces.append(rest)
    if len(pieces) > 1 and len(rest) == _CHUNK:
        pieces.append(b"")
    return pieces
