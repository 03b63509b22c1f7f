"""What FFmpeg reports as errors while it goes on: counted, not printed."""

from __future__ import annotations

import logging

import av.logging

from edge_fer.common.text import printable

_LONGEST = 200


class Complaints(logging.Handler):
    """Counts the errors that one part of FFmpeg reports, from any thread.

    FFmpeg's threads take Python's lock to report. So nothing may wait for them while it holds that lock: see
    `Film.close`.

    Args:
        part: the decoder or demuxer, by FFmpeg's name.

    Attributes:
        count: how many there were.
        last: the newest, on one line.
    """

    def __init__(self, part: str) -> None:
        super().__init__(logging.ERROR)
        self.count, self.last = 0, ""
        self._logger = logging.getLogger(f"libav.{part}")
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Count an error; see `logging.Handler.emit`."""
        self.count += 1
        self.last = printable(record.getMessage())[:_LONGEST]

    def close(self) -> None:
        """Count no more."""
        self._logger.removeHandler(self)
        super().close()


def listen() -> None:
    """Have FFmpeg report its errors to `Complaints`, and to the exceptions of PyAV; nothing of it is printed."""
    everything = logging.getLogger("libav")
    if not everything.handlers:
        everything.addHandler(logging.NullHandler())
        everything.propagate = False
    av.logging.set_skip_repeated(False)  # else it would leave out what the film before ended with
    av.logging.set_level(av.logging.ERROR)
