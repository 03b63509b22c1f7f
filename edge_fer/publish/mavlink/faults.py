"""What a ground station is told in words: each fault once when it comes, and once when it is over."""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_fer.schema import Reading, Record

HOLD_S = 5.0
"""What comes and goes quicker is told of so often at most, so that a loose plug leaves the link to the faces."""

ERROR, WARNING, NOTICE = 3, 4, 5
"""Of MAVLink's MAV_SEVERITY."""

_CHUNK = 50  # bytes of a STATUSTEXT
_CHUNKS = 3
_CAMERA, _DEGRADED = "camera lost", "degraded"


class Notice(NamedTuple):
    """One sentence.

    Attributes:
        fault: what it is about.
        severity: MAV_SEVERITY.
        text: for a person.
    """

    fault: str
    severity: int
    text: str


class Faults:
    """Knows from the records what is wrong, and what of it was told.

    Args:
        name: of the sink that tells; of itself it does not speak.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._present: dict[str, str] = {}  # the fault and why
        self._told: dict[str, float] = {}  # those that were told of and are not over for the listener, and when
        self._over: dict[str, float] = {}  # those that were told to be over, and when

    def see(self, record: Record) -> None:
        """Take note of what a record says of faults."""
        if isinstance(record, Reading):
            self._set(_CAMERA, None)
            self._set(_DEGRADED, record.reason)
            return
        if record.state == "waiting_for_camera":
            self._set(_CAMERA, record.message)
        elif record.state in {"running", "degraded"}:
            self._set(_CAMERA, None)
        for name, sink in record.sinks.items():
            if name != self._name:
                self._set(f"{name} failed", (sink.reason or "") if sink.state == "failed" else None)

    def next(self, now_s: float) -> Notice | None:
        """What is to be told now, faults first; null: nothing.

        Args:
            now_s: seconds that never go backwards.
        """
        for fault, why in self._present.items():
            if fault not in self._told and now_s - self._over.get(fault, -math.inf) >= HOLD_S:
                severity = ERROR if fault == _CAMERA else WARNING
                return Notice(fault, severity, f"FER {fault}: {why}" if why else f"FER {fault}")
        for fault, at_s in self._told.items():
            if fault not in self._present and now_s - at_s >= HOLD_S:
                return Notice(fault, NOTICE, f"FER {fault}: well again")
        return None

    def told(self, notice: Notice, now_s: float) -> None:
        """Note that it was told."""
        if notice.severity == NOTICE:
            del self._told[notice.fault]
            self._over[notice.fault] = now_s
        else:
            self._told[notice.fault] = now_s

    def forget(self) -> None:
        """Somebody else listens from here on: what is wrong is told once more."""
        self._told.clear()
        self._over.clear()

    def _set(self, fault: str, why: str | None) -> None:
        if why is None:
            self._present.pop(fault, None)
        else:
            self._present[fault] = why


def chunks(text: str) -> list[bytes]:
    """A text as STATUSTEXT takes it: at most three pieces of at most 50 bytes of UTF-8, no character split.

    A zero ends the text, so each piece but the last has 50 bytes, and the last of several has fewer.
    """
    room = _CHUNK * _CHUNKS - 1 - 3 * (_CHUNKS - 1)  # a character of 4 bytes may leave 3 at a piece's end
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
