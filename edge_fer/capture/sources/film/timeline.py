"""When each frame of a film is shown, from timestamps as they come."""

from __future__ import annotations

_LONGEST_STEP_NS = 3600 * 10**9


class Timeline:
    """Makes positions that always grow out of the timestamps of frames in the order of their presentation.

    A timestamp that is later than the frame before counts as it is. One that is missing, that goes back (two
    recordings in one file, a clock that was set) or that jumps by more than an hour says nothing about the time in the
    film: such a frame comes as long after the one before as its timestamp is after that one's, or else one period.

    Args:
        start_ns: the film's own beginning on the clock of its timestamps, nanoseconds; None: the first frame's. A film
            whose sound starts earlier begins later than 0.
        period_ns: from one frame to the next where no timestamp tells, nanoseconds.
    """

    def __init__(self, start_ns: int | None, period_ns: int) -> None:
        self._start_ns, self._period_ns = start_ns, period_ns
        self._stamp_ns: int | None = None
        self._position_ns: int | None = None

    def place(self, stamp_ns: int | None) -> int:
        """The position of the next frame, nanoseconds.

        Args:
            stamp_ns: its timestamp, nanoseconds; None where it has none.
        """
        before_ns, self._stamp_ns = self._stamp_ns, stamp_ns
        if self._start_ns is None:
            self._start_ns = stamp_ns
        if self._position_ns is None:
            late_ns = 0 if stamp_ns is None or self._start_ns is None else stamp_ns - self._start_ns
            self._position_ns = late_ns if 0 <= late_ns <= _LONGEST_STEP_NS else 0
        else:
            self._position_ns += self._step_ns(self._position_ns, before_ns, stamp_ns)
        return self._position_ns

    def _step_ns(self, position_ns: int, before_ns: int | None, stamp_ns: int | None) -> int:
        """From the frame before to this one, nanoseconds."""
        if stamp_ns is None or self._start_ns is None:
            return self._period_ns
        absolute = stamp_ns - self._start_ns - position_ns
        relative = 0 if before_ns is None else stamp_ns - before_ns
        return next((step for step in (absolute, relative) if 0 < step <= _LONGEST_STEP_NS), self._period_ns)
