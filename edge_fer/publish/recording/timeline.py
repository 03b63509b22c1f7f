"""When each picture of a film is shown."""

from __future__ import annotations

from edge_fer.schema import Reading

STILL_MS = 1000.0
"""For how long a picture is shown that is from no film and no camera, milliseconds."""

_USUAL_MS = 40.0
_LONGEST_MS = 3_600_000.0  # a camera that was away for longer, or a clock that jumped: the gap is cut out


class Timeline:
    """Presentation times of a film's pictures, which always grow.

    The picture of a camera is shown when it was taken, that of a film at its place there, a single one for a second.
    Where the time goes back, as when a file is played again, or jumps ahead by more than an hour, the next picture
    follows the last one.

    Attributes:
        step_ms: for how long a picture is shown when no other follows: as long as the one before, milliseconds.
    """

    def __init__(self) -> None:
        self.step_ms = _USUAL_MS
        self._origin_ms: float | None = None
        self._shown_ms = 0.0

    def at(self, reading: Reading) -> float:
        """When the picture of a reading is shown, milliseconds after the first one."""
        moment_ms = self._moment_ms(reading)
        if self._origin_ms is None:
            self._origin_ms = moment_ms
        elif 0 < moment_ms - self._origin_ms - self._shown_ms <= _LONGEST_MS:
            self.step_ms = min(moment_ms - self._origin_ms - self._shown_ms, STILL_MS)
        else:
            self._origin_ms = moment_ms - self._shown_ms - self.step_ms
        self._shown_ms = moment_ms - self._origin_ms
        return self._shown_ms

    def _moment_ms(self, reading: Reading) -> float:
        """The time of a picture by the clock of its source, milliseconds."""
        if reading.position_ms is not None:
            return reading.position_ms
        if reading.source_file is None:
            return reading.captured_ns / 1e6
        self.step_ms = STILL_MS
        return (self._origin_ms or 0.0) + self._shown_ms + STILL_MS
