"""A buffer of one frame between two threads."""

from __future__ import annotations

import threading

from edge_fer.types import Frame


class Slot:
    """A buffer of one frame between two threads.

    Args:
        wake_up: set whenever a frame is put in or the slot is closed, for a thread that waits for other things, too.

    Attributes:
        dropped: frames that were overwritten before anybody took them.
    """

    def __init__(self, wake_up: threading.Event | None = None) -> None:
        self.dropped = 0
        self._frame: Frame | None = None
        self._closed = False
        self._wake_up = wake_up or threading.Event()
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
        self._wake_up.set()

    def get(self, timeout_s: float) -> Frame | None:
        """Take the frame, waiting for one; None when none came in time, or none will."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed, timeout_s)
            frame, self._frame = self._frame, None
            self._changed.notify_all()
            return frame

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
        self._wake_up.set()
