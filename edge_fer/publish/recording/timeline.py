"""When each picture of a film is shown."""

from __future__ import annotations

from typing import NamedTuple

from edge_fer.schema import Reading

_USUAL_FPS = 25.0
_LONGEST_MS = 3_600_000.0  # a camera that was away for longer, or a clock that jumped: the gap is cut out


class Pace(NamedTuple):
    """The pace of a source.

    Attributes:
        fps: frames a second; None where unknown.
        live: whether frames arrive at the time that they show.
    """

    fps: float | None
    live: bool


USUAL_PACE = Pace(_USUAL_FPS, live=True)


class Timeline:
    """Presentation times of a film's pictures, which always grow.

    A picture of a camera is shown when it was taken, one of a file at its place in it, one of a folder for a second.
    Where the time goes back, as when a file is played again, or jumps ahead by more than an hour, the next
    picture follows the last one.

    Args:
        pace: the source's pace.

    Attributes:
        step_ms: for how long a picture is shown that no other follows, milliseconds.
    """

    def __init__(self, pace: Pace) -> None:
        self._live = pace.live
        self.step_ms = 1000 / (pace.fps or _USUAL_FPS) if pace.live or pace.fps else 1000.0
        self._frames = 0
        self._origin_ms = self._shown_ms = 0.0

    def at(self, reading: Reading) -> float:
        """When the picture of a reading is shown, milliseconds after the first one."""
        moment_ms = reading.captured_ns / 1e6 if self._live else self._frames * self.step_ms
        if self._frames == 0:
            self._origin_ms = moment_ms
        elif not 0 < moment_ms - self._origin_ms - self._shown_ms <= _LONGEST_MS:
            self._origin_ms = moment_ms - self._shown_ms - self.step_ms
        self._frames += 1
        self._shown_ms = moment_ms - self._origin_ms
        return self._shown_ms
