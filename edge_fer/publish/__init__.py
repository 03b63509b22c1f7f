"""Where records go: one sink a file, each in a thread of its own (`sink_queue.py`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from edge_fer.publish.attitude import Attitude
from edge_fer.schema import Record, SinkStatus
from edge_fer.types import Image


class Sink(ABC):
    """Takes every record of a run, in order, in one thread that is its own to hold up.

    Attributes:
        name: what it is called in statuses: `mqtt`, `file`.
        pictures: whether it wants the frames.
        queue_size: how many records may wait for it at most; few where frames of some megabytes wait with them.
        internal: whether it tells of the run instead of carrying its readings: statuses do not mention it, and a run
            does not go on for its sake.
        attitude: of the vehicle, where the sink hears of it; else null.
        tick_s: `tick` is called so often while no record comes, seconds; null: never.
    """

    name: ClassVar[str] = "sink"
    pictures: ClassVar[bool] = False
    queue_size: ClassVar[int] = 256
    internal: ClassVar[bool] = False
    attitude: Attitude | None = None
    tick_s: ClassVar[float | None] = None

    @abstractmethod
    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record.

        Args:
            record: a reading or a status.
            image: the frame of a reading, `(height, width, 3)` uint8, BGR, not to be written to; null for a status,
                and for a sink that wants no pictures.

        Raises:
            OutputError: when it cannot be written.
        """

    def tick(self) -> None:
        """Do what is due by now; see `tick_s`.

        Raises:
            OutputError: when that fails.
        """

    @property
    def condition(self) -> SinkStatus | None:
        """How it is, where it knows better than whoever calls it; from any thread."""
        return None

    def close(self) -> None:
        """Finish what was begun, within seconds; nothing is published afterwards.

        Raises:
            OutputError: when that fails.
        """
