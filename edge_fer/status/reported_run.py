"""What every run does with its records, and with what its sinks have not sent when it ends."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

from edge_fer.common.closeable import Closeable
from edge_fer.publish.sink_group import SinkGroup, Unsent
from edge_fer.schema import Record, State
from edge_fer.status.reporter import Reporter
from edge_fer.status.scheduler import StatusScheduler
from edge_fer.types import Image


class ReportedRun(Closeable):
    """A run that publishes records: its subclass opens the parts, and closes them by what it has put on `_opened`."""

    _opened: ExitStack
    _sinks: SinkGroup
    _reporter: Reporter
    _statuses: StatusScheduler

    def resume(self, unsent: Unsent) -> None:
        """Let the sinks begin with what those of an earlier run have not sent; see `SinkGroup.resume`."""
        self._sinks.resume(unsent)

    def take_unsent(self) -> Unsent:
        """Take what the sinks have not sent, for the next run's `resume`; after `close`."""
        return self._sinks.take_unsent()

    @property
    def lost(self) -> Counter[str]:
        """Records that the sinks have lost, by sink; after `close`, and `take_unsent` where there is a next run."""
        return self._sinks.lost

    def close(self) -> None:
        """Close everything that the run has opened, the last first: all of it, whichever fails."""
        self._opened.close()

    def _tell(self, state: State, message: str) -> None:
        """Publish a status."""
        self._publish(self._reporter.status(state, message), None)

    def _publish(self, record: Record, image: Image | None) -> None:
        self._statuses.published(record)
        self._sinks.publish(record, image)
