"""A sink that is opened again when it could not be opened, or has failed for good: for a run that goes on without."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from edge_fer.common.backoff import Backoff
from edge_fer.common.text import first_line
from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.schema import Record, SinkStatus
from edge_fer.types import Image

RETRY_S, RETRY_MAX_S = 0.5, 30.0
"""Shortest and longest pause before a sink is opened again, seconds."""

_log = logging.getLogger(__name__)


class RetriedSink(Sink):
    """Opens a sink, and again after pauses that grow, until it works.

    Until it is open, each record is lost and raises what is wrong, so that the queue in front of it tells and counts
    it. A sink that recovers by itself (`Sink.recovers`) is opened once.

    Args:
        name: the sink's name.
        open_sink: opens it.
        statuses: see `edge_fer.publish.Sink`.
        clock: seconds that never go backwards.
    """

    def __init__(
        self,
        name: str,
        open_sink: Callable[[], Sink],
        *,
        statuses: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.statuses = name, statuses
        self._open_sink = open_sink
        self._backoff = Backoff(RETRY_S, RETRY_MAX_S, clock)
        self._sink: Sink | None = None
        self._closed: Sink | None = None
        self._unsent: Sequence[Any] = ()  # by an earlier sink, until this one is open
        self._reason = ""
        # As long as nobody knows what it takes: pictures, too, and few of them.
        self.pictures, self.queue_size, self.tick_s = True, 4, RETRY_S
        try:
            self._open()
        except Exception:  # the first record tries again, and tells
            self._backoff.reset()

    def publish(self, record: Record, image: Image | None) -> None:
        """Hand on one record; see `edge_fer.publish.Sink.publish`."""
        sink = self._open()
        try:
            sink.publish(record, image)
        except Exception as error:
            self._give_up(sink, error)
            raise
        self._backoff.reset()

    def tick(self) -> None:
        """Open the sink where that is due, or let it do what is due; see `edge_fer.publish.Sink.tick`."""
        sink = self._open()
        try:
            sink.tick()
        except Exception as error:
            self._give_up(sink, error)
            raise

    @property
    def condition(self) -> SinkStatus | None:
        """The sink's own; None while it is not open."""
        sink = self._sink
        return sink.condition if sink is not None else None

    def take_unsent(self) -> Sequence[Any]:
        """Take what the sink has not sent; see `edge_fer.publish.Sink.take_unsent`."""
        return self._closed.take_unsent() if self._closed is not None else self._unsent

    def resume(self, unsent: Sequence[Any]) -> None:
        """Begin with what an earlier sink has not sent, once it is open; see `edge_fer.publish.Sink.resume`."""
        if self._sink is not None:
            self._sink.resume(unsent)
        else:
            self._unsent = unsent

    def close(self) -> None:
        """Close the sink, if it is open."""
        sink, self._sink = self._sink, None
        if sink is not None:
            self._closed = sink
            sink.close()

    def _open(self) -> Sink:
        """The sink, opened where that is due.

        Raises:
            OutputError: when it cannot be opened, or was not due to be opened again.
        """
        if self._sink is not None:
            return self._sink
        if not self._backoff.ready:
            raise OutputError(self._reason)
        try:
            sink = self._open_sink()
        except Exception as error:
            self._note_failure(error)
            raise
        unsent, self._unsent = self._unsent, ()
        if unsent:
            sink.resume(unsent)
        self._sink = sink
        self.pictures, self.internal, self.attitude = sink.pictures, sink.internal, sink.attitude
        self.queue_size, self.tick_s = sink.queue_size, sink.tick_s
        return sink

    def _give_up(self, sink: Sink, error: Exception) -> None:
        """Close a sink that cannot recover from an error, to open it again."""
        if sink.recovers:
            return
        self._note_failure(error)
        self._sink, self.tick_s = None, RETRY_S
        try:
            sink.close()
        except Exception as another:  # as of the end of a film on a full disk
            _log.warning("sink %s could not be closed in order, either: %s", self.name, first_line(another))

    def _note_failure(self, error: Exception) -> None:
        self._reason = str(error) or type(error).__name__
        self._backoff.failed()
