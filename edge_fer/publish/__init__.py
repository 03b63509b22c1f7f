"""Where records go: one sink a file or folder, each with a thread of its own (`sink_queue.py`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from edge_fer.publish.attitude import Attitude
from edge_fer.schema import Record, SinkStatus
from edge_fer.types import Image


class Sink(ABC):
    """Takes every record of a run, in order.

    All methods are called in one thread that belongs to this sink, so they may block; `condition` is read in any.

    Attributes:
        name: what statuses call it: `mqtt`, `file`.
        pictures: whether it takes frames, too.
        statuses: whether it takes the records without a picture, too: statuses, and tracks of faces that have left.
        recovers: whether it takes records again by itself after it has failed; otherwise it is closed, and opened anew.
        queue_size: records that wait for it at most; few where frames of some megabytes wait with them.
        internal: whether it reports on the run instead of carrying its readings. Statuses do not mention an internal
            sink, and a run does not go on for its sake.
        attitude: the vehicle's, where the sink receives it; else None.
        tick_s: seconds between two calls of `tick` while no record comes; None: it is never called.
    """

    name: str = "sink"
    pictures: bool = False
    statuses: bool = True
    recovers: bool = True
    queue_size: int = 256
    internal: bool = False
    attitude: Attitude | None = None
    tick_s: float | None = None

    @abstractmethod
    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record. Whatever it raises, the record is lost, and counted.

        Args:
            record: a reading, a status, or the track of a face that has left.
            image: the frame of a reading, `(height, width, 3)` uint8, BGR, read-only; None for the others, and for a
                sink without `pictures`.

        Raises:
            OutputError: when it cannot be written.
        """

    def tick(self) -> None:
        """Do what is due by now, such as a flush or another attempt to connect; see `tick_s`.

        Raises:
            OutputError: when that fails.
        """

    def take_unsent(self) -> Sequence[Any]:
        """Take the records that have not reached whom they are for, the oldest first; called once, after `close`.

        They go to `resume` of the sink that follows after a reload; what a sink keeps instead counts as lost.
        """
        return ()

    def resume(self, unsent: Sequence[Any]) -> None:
        """Begin with what an earlier sink of the same name has not sent; called in any thread, before all records.

        Args:
            unsent: what its `take_unsent` gave.
        """

    @property
    def condition(self) -> SinkStatus | None:
        """State and counters, where the sink has better ones than its queue; read in any thread."""
        return None

    def close(self) -> None:
        """Finish what was begun, within seconds; nothing is published afterwards.

        Raises:
            OutputError: when that fails.
        """
