"""Standard output, which may be full, closed or not read any more, and never delays a stop."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable

from edge_fer.errors import OutputClosed, OutputError

_SLICE_S = 0.1  # a write that waits for its reader checks this often whether to stop


class Stdout:
    """Writes text to standard output at once.

    A reader that does not read blocks the writer, as with any pipe; but while it waits, the writer checks whether to
    stop, so that a signal ends a run whose reader is stuck.

    Args:
        descriptor: file descriptor of the stream.
        stopping: whether to stop; called ten times a second while the reader does not read.

    Attributes:
        is_terminal: whether it was a terminal at first.
    """

    def __init__(self, descriptor: int = 1, stopping: Callable[[], bool] = lambda: False) -> None:
        self._descriptor = descriptor
        self.is_terminal = os.isatty(descriptor)
        self._stopping = stopping

    def write(self, text: str) -> None:
        """Write a text completely.

        Args:
            text: the text, with its line ends.

        Raises:
            OutputClosed: when the reader has gone, or does not read while the run is stopping.
            OutputError: when the stream cannot be written.
        """
        rest = memoryview(text.encode(errors="replace"))
        while rest:
            self._wait()
            # A pipe that is ready has room for PIPE_BUF bytes; writing more could block without a time-out.
            rest = rest[self._write_some(rest[: select.PIPE_BUF]) :]

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BrokenPipeError as error:
            raise OutputClosed("standard output was closed by its reader") from error
        except OSError as error:
            if self.is_terminal and error.errno == errno.EIO:
                raise OutputClosed("the terminal was closed") from error
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
