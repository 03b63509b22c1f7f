"""When each frame of a film is shown, from timestamps as they come."""

from __future__ import annotations

_LONGEST_STEP_NS = 3600 * 10**9
_BACK_NS = 10**9  # timestamps that are further behind belong to another clock


class Timeline:
    """Makes positions that always grow out of the timestamps of frames in the order of their presentation.

    A timestamp that is later than the frame before counts as it is; one that is missing or does not grow means one
    period more. Where timestamps go back by more than a second or jump by more than an hour (two recordings in one
    file, a clock that was set), the distance of two of them counts from there on.

    Args:
        start_ns: the film's own beginning on the clock of its timestamps, nanoseconds; None: the first frame's. A film
            whose sound starts earlier begins later than 0.
        period_ns: from one frame to the next where no timestamp tells, nanoseconds.
    """

    def __init__(self, start_ns: int | None, period_ns: int) -> None:
        self._start_ns, self._period_ns = start_ns, period_ns
        self._stamp_ns: int | None = None
        self._position_ns: int | None = None
        self._jumped = False

    def jump(self) -> None:
        """The next frame is somewhere in the film: where its timestamp says, however late that is."""
        self._jumped, self._position_ns = True, None

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
            longest_ns = late_ns if self._jumped else _LONGEST_STEP_NS
            self._position_ns = late_ns if 0 <= late_ns <= longest_ns else 0
        else:
            self._position_ns += self._step_ns(self._position_ns, before_ns, stamp_ns)
        return self._position_ns

    def _step_ns(self, position_ns: int, before_ns: int | None, stamp_ns: int | None) -> int:
        """From the frame before to this one, nanoseconds."""
        if stamp_ns is None or self._start_ns is None:
            return self._period_ns
        step_ns = stamp_ns - self._start_ns - position_ns
        if before_ns is not None and not -_BACK_NS <= step_ns <= _LONGEST_STEP_NS:
            step_ns = stamp_ns - before_ns
        return step_ns if 0 < step_ns <= _LONGEST_STEP_NS else self._period_ns
