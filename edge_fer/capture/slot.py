"""A buffer of one frame between two threads."""

from __future__ import annotations

import threading

from edge_fer.types import Frame


class Slot:
    """A buffer of one frame between two threads.

    Args:
        wake_up: set whenever a frame is put in or the slot is closed, for a thread that waits for other things, too.
    """

    def __init__(self, wake_up: threading.Event | None = None) -> None:
        self._wake_up = wake_up or threading.Event()
        self._dropped = 0
        self._frame: Frame | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, frame: Frame, *, overwrite: bool) -> None:
        """Put a frame into the slot; a closed slot takes none.

        Args:
            frame: the frame.
            overwrite: whether it replaces a frame that was not taken yet; else that is waited for.
        """
        with self._changed:
            if not overwrite:
                self._changed.wait_for(lambda: self._frame is None or self._closed)
            if not self._closed:
                self._dropped += self._frame is not None
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
        with self._changed:
            return self._frame is not None

    @property
    def dropped(self) -> int:
        """Frames that were overwritten before they were taken."""
        with self._changed:
            return self._dropped

    def close(self, *, discard: bool = False) -> None:
        """Take no more frames and wake whoever waits; one that lies ready is kept unless discarded."""
        with self._changed:
            self._closed = True
            if discard:
                self._frame = None
            self._changed.notify_all()
        self._wake_up.set()
