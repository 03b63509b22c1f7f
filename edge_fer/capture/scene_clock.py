"""Time in the scene of a file, in which what is seen must not depend on how fast the processor reads it."""

from __future__ import annotations

_STILLS_FPS = 1.0  # pictures that are no film: the time in the scene from one to the next


class SceneClock:
    """Adds up the time from frame to frame.

    Where frames have positions in their file, their distance counts. Where they have none, or the next one lies before
    the last, as when a film begins again or another one follows, it is one frame at the nominal rate.

    Args:
        fps: nominal rate, frames a second; None for pictures that are no film, which count a second each.
    """

    def __init__(self, fps: float | None) -> None:
        self._period_ns = 1e9 / (fps or _STILLS_FPS)
        self._now_ns = -self._period_ns
        self._position_ns: int | None = None

    def advance(self, position_ns: int | None) -> int:
        """The time of the next frame, nanoseconds; the first one's is 0.

        Args:
            position_ns: its presentation time in the file, nanoseconds; None where it has none.
        """
        before, self._position_ns = self._position_ns, position_ns
        step_ns = position_ns - before if position_ns is not None and before is not None else 0
        self._now_ns += step_ns if step_ns > 0 else self._period_ns
        return round(self._now_ns)
