"""All the sinks of a run, each behind its queue."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, TypeAlias

from edge_fer.common.closeable import Closeable
from edge_fer.publish import Sink
from edge_fer.publish.attitude import Attitude
from edge_fer.publish.sink_queue import SinkQueue
from edge_fer.schema import Record, SinkStatus
from edge_fer.types import Image

Unsent: TypeAlias = dict[str, Sequence[Any]]
"""Records that have not reached whom they are for, by sink; see `edge_fer.publish.Sink.take_unsent`."""

_MAY_LAG = frozenset({"stdout", "python"})

_log = logging.getLogger(__name__)


class SinkGroup(Closeable):
    """Hands every record to every sink.

    Args:
        waits: whether to wait while the queue of an awaited sink is full; asked again while waiting.
    """

    def __init__(self, waits: Callable[[], bool]) -> None:
        self._waits = waits
        self._queues: list[SinkQueue] = []
        self._opened = ExitStack()

    def add(self, sink: Sink, *, essential: bool, awaited: bool = False, logged: bool = False) -> None:
        """Start a sink's thread; it is closed with the others, the last one first.

        Args:
            sink: takes records from here on.
            essential: see `SinkQueue`.
            awaited: whether it must not miss a record of a file.
            logged: see `SinkQueue`.
        """
        waits = self._waits if awaited else lambda: False
        queue = SinkQueue(sink, essential=essential, waits=waits, logged=logged)
        self._queues.append(self._opened.enter_context(closing(queue)))

    @property
    def attitude(self) -> Attitude | None:
        """The vehicle's, where a sink receives it; else None."""
        return next((queue.attitude for queue in self._queues if queue.attitude is not None), None)

    def publish(self, record: Record, image: Image | None) -> None:
        """Queue one record for each sink, whichever has failed; see `edge_fer.publish.Sink.publish`.

        Raises:
            Exception: what the first essential sink failed with.
        """
        errors = []
        for queue in self._queues:
            try:
                queue.publish(record, image)
            except Exception as error:  # raised once the others have the record
                errors.append(error)
        if errors:
            raise errors[0]

    @property
    def conditions(self) -> dict[str, SinkStatus]:
        """State and counters of each sink that carries readings, by name."""
        return {queue.name: queue.condition for queue in self._queues if not queue.internal}

    def resume(self, unsent: Unsent) -> None:
        """Let each sink begin with what an earlier one of its name has not sent; before the first record.

        Args:
            unsent: what `take_unsent` gave; that of sinks which are no more stays in it.
        """
        for queue in self._queues:
            if queue.name in unsent:
                queue.resume(unsent.pop(queue.name))

    def take_unsent(self) -> Unsent:
        """Take what the sinks have not sent, for the `resume` of the next run; after `close`."""
        taken = {queue.name: queue.take_unsent() for queue in self._queues}
        return {name: records for name, records in taken.items() if records}

    @property
    def lost(self) -> Counter[str]:
        """Records that were lost, by sink; after `close`, and `take_unsent` where there is a next run.

        Standard output is left out: when it takes no more, that is an error, or its reader's wish. So is a program
        that iterates over the readings: it gets the newest.
        """
        found = {name: sink for name, sink in self.conditions.items() if name not in _MAY_LAG}
        return +Counter({name: sink.dropped + sink.waiting for name, sink in found.items()})

    def close(self) -> None:
        """Hand over what waits, and close all sinks, whichever fails."""
        self._opened.close()


def tell_losses(lost: Mapping[str, int]) -> None:
    """Say in the end of a run which sinks have lost records, and how many.

    Args:
        lost: how many, by sink.
    """
    if lost:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(lost.items()))
        _log.warning("records were lost, by sink: %s", counts)
