"""A bounded queue and a thread before each sink: a slow or dead one delays neither the loop nor another sink."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.schema import Record, SinkStatus
from edge_fer.types import Image

CLOSE_S = 5.0
"""`SinkQueue.close` waits so long for a sink that must not be waited for; what it then holds is lost, and logged."""

_log = logging.getLogger(__name__)


class SinkQueue:
    """Hands records to a sink in a thread of its own.

    Args:
        sink: takes them; closed with this, in the same thread.
        essential: whether the run must end when the sink fails, as when nobody reads standard output any more.
        waits: asked while the queue is full: whether to wait for room, as for a file that is read as fast as it goes;
            else the oldest record is dropped, and counted. Only an essential sink is waited for.

    Attributes:
        name: of the sink.
        internal: see `edge_fer.publish.Sink`.
    """

    def __init__(self, sink: Sink, *, essential: bool, waits: Callable[[], bool] = lambda: False) -> None:
        self.name, self.internal = sink.name, sink.internal
        self._sink, self._essential, self._waits = sink, essential, waits
        self._queue: deque[tuple[Record, Image | None]] = deque()
        self._sent = self._dropped = self._busy = 0
        self._reason: str | None = None
        self._failed_tick = False
        self._error: Exception | None = None
        self._ending = self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)
        self._thread.start()

    def publish(self, record: Record, image: Image | None) -> None:
        """Take one record; see `edge_fer.publish.Sink.publish`.

        Raises:
            Exception: what an essential sink failed with, once.
        """
        with self._changed:
            while len(self._queue) >= self._sink.queue_size and not self._ended and self._essential and self._waits():
                self._changed.wait(0.1)
            self._raise_error()
            if self._ended:
                return
            if len(self._queue) >= self._sink.queue_size:
                self._queue.popleft()
                self._dropped += 1
            self._queue.append((record, image if self._sink.pictures else None))
            self._changed.notify_all()

    @property
    def condition(self) -> SinkStatus:
        """How the sink is, and its queue."""
        own = self._sink.condition
        with self._changed:
            if own is None:
                own = SinkStatus("ok" if self._reason is None else "failed", self._sent, reason=self._reason)
            elif self._reason is not None:
                own = replace(own, state="failed", reason=self._reason)
            return replace(
                own, dropped=own.dropped + self._dropped, waiting=own.waiting + len(self._queue) + self._busy
            )

    def close(self) -> None:
        """Hand over what waits, and close the sink.

        Raises:
            Exception: what an essential sink failed with, where `publish` has not told.
        """
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(None if self._essential else CLOSE_S)
        if self._thread.is_alive():
            _log.warning("sink %s did not end within %g s; %d records are lost", self.name, CLOSE_S, len(self._queue))
        with self._changed:
            self._raise_error()

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except Exception as error:  # handed to whoever publishes next
            self._fail(error)
        try:
            self._sink.close()
        except Exception as error:
            self._fail(error)
        with self._changed:
            self._ended = True
            self._dropped += len(self._queue)
            self._queue.clear()
            self._changed.notify_all()

    def _step(self) -> bool:
        """Hand over a record, or let the sink take its turn; false when all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ending, self._sink.tick_s)
            taken = self._queue.popleft() if self._queue else None
            if taken is None and self._ending:
                return False
            self._busy = taken is not None
            self._changed.notify_all()
        try:
            if taken is not None:
                self._sink.publish(*taken)
            else:
                self._sink.tick()
        except Exception as error:
            self._busy = 0
            self._dropped += taken is not None
            self._failed_tick = taken is None
            if self._essential:
                raise
            self._fail(error)
            return True
        with self._changed:
            self._sent, self._busy = self._sent + (taken is not None), 0
            if taken is not None or self._failed_tick:  # a turn that goes well does not prove that a record would
                self._reason, self._failed_tick = None, False
        return True

    def _fail(self, error: Exception) -> None:
        if not self._essential and not isinstance(error, OutputError):
            _log.exception("sink %s failed in a way that nobody foresaw", self.name, exc_info=error)
        with self._changed:
            self._reason = str(error) or type(error).__name__
            if self._essential and self._error is None:
                self._error = error

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
