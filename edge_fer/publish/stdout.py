"""Standard output that can be full, closed or read by nobody, and never holds up a stop."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from edge_fer.errors import OutputClosed, OutputError

_SLICE_S = 0.1  # how often a write that nobody reads looks whether it should stop


class Stdout:
    """Writes text to standard output at once.

    A reader that stalls holds up the writer, as pipes do; but while it waits it asks whether to
    stop, so that a signal ends a run whose reader has fallen asleep.

    Args:
        descriptor: of the stream.
        stopping: asked ten times a second while the reader stalls.
    """

    def __init__(self, descriptor: int = 1, stopping: Callable[[], bool] = lambda: False) -> None:
        self._descriptor = descriptor
        self._stopping = stopping

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches."""
        return os.isatty(self._descriptor)

    def write(self, text: str) -> None:
        """Write all of a text.

        Raises:
            OutputClosed: when the reader has gone, or stalls while the run is stopping.
            OutputError: when the stream cannot be written.
        """
        rest = memoryview(text.encode(errors="replace"))
        while rest:
            self._wait()
            # A pipe that is ready has room for PIPE_BUF bytes; more could block beyond reach.
            rest = rest[self._write_some(rest[: select.PIPE_BUF]) :]

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BrokenPipeError as error:
            raise OutputClosed("standard output was closed by its reader") from error
        except OSError as error:
            raise OutputError(
                f"expected to write to standard output, found: {error.strerror}; free some space or send it elsewhere"
            ) from error

    def _wait(self) -> None:
        # poll() and not select(): descriptors may be above 1023.
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        while not poller.poll(_SLICE_S * 1000):
            if self._stopping():
                raise OutputClosed("standard output was not read any more")
