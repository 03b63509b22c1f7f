"""A buffer of one frame between two threads."""

from __future__ import annotations

import threading

from edge_fer.types import Frame


class Slot:
    """A buffer of one frame between two threads.

    Attributes:
        dropped: frames that were overwritten before anybody took them.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._frame: Frame | None = None
        self._closed = False
        self._interrupted = False
        self._changed = threading.Condition()

    def put(self, frame: Frame, *, overwrite: bool) -> None:
        """Offer a frame: in the place of one that nobody took, or else once that was taken.

        A closed slot takes no frame.
        """
        with self._changed:
            if not overwrite:
                self._changed.wait_for(lambda: self._frame is None or self._closed)
            if not self._closed:
                self.dropped += self._frame is not None
                self._frame = frame
                self._changed.notify_all()

    def get(self, timeout_s: float) -> Frame | None:
        """Take the frame, waiting for one; null when none came in time, none will, or the wait is interrupted."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed or self._interrupted, timeout_s)
            self._interrupted = False
            frame, self._frame = self._frame, None
            self._changed.notify_all()
            return frame

    def interrupt(self) -> None:
        """Let whoever waits for a frame, or will next, go on without one."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    @property
    def full(self) -> bool:
        """Whether a frame lies ready."""
        return self._frame is not None

    def close(self, *, discard: bool = False) -> None:
        """Take no more frames and wake whoever waits; one that lies ready is kept unless discarded."""
        with self._changed:
            self._closed = True
            if discard:
                self._frame = None
            self._changed.notify_all()
