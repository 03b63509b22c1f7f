"""A bounded queue and a thread in front of each sink: a slow or dead one delays neither the loop nor another sink."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from edge_fer.errors import EdgeFerError
from edge_fer.publish import Sink
from edge_fer.publish.attitude import Attitude
from edge_fer.schema import Reading, Record, SinkStatus, TrackRecord
from edge_fer.types import Image

CLOSE_S = 5.0
"""`SinkQueue.close` waits so long for a sink that is not essential; what the queue then holds is lost, and logged."""

STALLED_S = 5.0
"""A sink that takes longer for one record is stuck, as with a disk that hangs or a pipe that nobody reads: it says so,
and nothing waits for it any more."""

_TRACKS = 256
"""So many records of faces that have left wait at most, beside the others: they are small, come many at once when the
scene changes, and each says what many readings say together."""

_log = logging.getLogger(__name__)


class SinkQueue:
    """Hands records to a sink in a thread of its own.

    One lock guards the queue, the counters and the failure. It is held for moments only: never while the sink works,
    and never while something is logged.

    Args:
        sink: takes the records; it is closed with the queue, in the same thread.
        essential: whether the run must end when the sink fails, as when nothing reads standard output any more.
        waits: whether to wait for room while the queue is full, as for a file that is read as fast as it goes; asked
            again while waiting. Otherwise the oldest record is dropped, and counted. A sink that is stuck and not
            essential is not waited for.
        logged: whether its failures are logged, too, as of standard output, which cannot tell its own.
        close_s: how long `close` waits for a sink that is not essential, seconds.
        clock: seconds that never go backwards.

    Attributes:
        name: the sink's name.
        internal: see `edge_fer.publish.Sink`.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        essential: bool,
        waits: Callable[[], bool] = lambda: False,
        logged: bool = False,
        close_s: float = CLOSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.internal = sink.name, sink.internal
        self._sink, self._essential, self._waits, self._close_s = sink, essential, waits, close_s
        self._logged, self._clock = logged, clock
        self._changed = threading.Condition()  # guards all that follows, but for the thread
        self._queue: deque[tuple[Record, Image | None]] = deque()
        self._sent = self._dropped = 0
        self._in_progress = False  # whether the sink is taking a record right now
        self._busy_since: float | None = None  # when the call began that it is in
        self._reason: str | None = None
        self._failed_in_tick = False
        self._error: Exception | None = None
        self._closing = self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)
        self._thread.start()

    def publish(self, record: Record, image: Image | None) -> None:
        """Queue one record; see `edge_fer.publish.Sink.publish`.

        Raises:
            Exception: what an essential sink failed with, once.
        """
        if not (self._sink.statuses or isinstance(record, Reading)):
            return
        with self._changed:
            while self._excess(record) is not None and not self._ended and not self._is_stuck and self._waits():
                self._changed.wait(0.1)
            self._raise_error()
            if self._ended:
                return
            if (oldest := self._excess(record)) is not None:
                del self._queue[oldest]
                self._dropped += 1
            self._queue.append((record, image if self._sink.pictures else None))
            self._changed.notify_all()

    @property
    def condition(self) -> SinkStatus:
        """State and counters of the sink and its queue; read in any thread."""
        with self._changed:
            sent, dropped, reason, is_stuck = self._sent, self._dropped, self._reason, self._is_stuck
            waiting = len(self._queue) + self._in_progress
        # The sink's own comes last and without the lock: it may take a lock of its own. So a record that it has just
        # taken may for a moment be counted as waiting, too, but none is ever missing.
        own = self._sink.condition or SinkStatus("ok" if reason is None else "failed", sent, reason=reason)
        if reason is not None:
            own = replace(own, state="failed", reason=reason)
        elif own.state == "ok" and is_stuck:
            own = replace(own, state="waiting", reason=f"it has taken no record for {STALLED_S:g} s")
        return replace(own, dropped=own.dropped + dropped, waiting=own.waiting + waiting)

    def resume(self, unsent: Sequence[Any]) -> None:
        """Let the sink begin with what an earlier one has not sent; before the first record."""
        self._sink.resume(unsent)

    def take_unsent(self) -> Sequence[Any]:
        """Take what the sink has not sent, for another one's `resume`; after `close`. What stays counts as lost."""
        with self._changed:
            ended = self._ended
        return self._sink.take_unsent() if ended else ()

    def close(self) -> None:
        """Hand over what waits, and close the sink.

        Raises:
            Exception: what an essential sink failed with, unless `publish` has raised it already.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(None if self._essential else self._close_s)
        with self._changed:
            lost = None if self._ended else len(self._queue)
        if lost is not None:
            _log.warning("sink %s did not end within %g s; %d records are lost", self.name, self._close_s, lost)
        with self._changed:
            self._raise_error()

    @property
    def attitude(self) -> Attitude | None:
        """The vehicle's, where the sink receives it; else None."""
        return self._sink.attitude

    @property
    def _is_stuck(self) -> bool:
        """Whether a sink that the run can do without is in a call that does not end."""
        since = self._busy_since
        return since is not None and not self._essential and self._clock() - since > STALLED_S

    def _run(self) -> None:
        """Serve the sink until the queue is closed or an essential sink fails, and close the sink."""
        while self._step():
            pass
        try:
            self._sink.close()
        except Exception as error:  # raised in the thread that closes the queue
            self._note_failure(error)
        with self._changed:
            self._ended = True
            self._dropped += len(self._queue)
            self._queue.clear()
            self._changed.notify_all()

    def _step(self) -> bool:
        """Hand over one record, or let the sink tick; false when the thread should end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing, self._sink.tick_s)
            taken = self._queue.popleft() if self._queue else None
            if taken is None and self._closing:
                return False
            self._in_progress, self._busy_since = taken is not None, self._clock()
            self._changed.notify_all()
        try:
            if taken is not None:
                self._sink.publish(*taken)
            else:
                self._sink.tick()
        except Exception as error:  # an essential sink's is raised in the thread that publishes next
            self._note_failure(error, lost=int(taken is not None), in_tick=taken is None)
            return not self._essential
        with self._changed:
            self._sent += self._in_progress
            self._in_progress, self._busy_since = False, None
            if taken is not None or self._failed_in_tick:  # a tick that succeeds does not prove that a record would
                self._reason, self._failed_in_tick = None, False
        return True

    def _note_failure(self, error: Exception, *, lost: int = 0, in_tick: bool = False) -> None:
        """Note at one moment what failed and how many records were lost by it."""
        reason = str(error) or type(error).__name__
        with self._changed:
            is_new = reason != self._reason
            self._dropped += lost
            self._in_progress, self._busy_since = False, None
            self._failed_in_tick = in_tick and (self._reason is None or self._failed_in_tick)
            self._reason = reason
            if self._essential and self._error is None:
                self._error = error
        if is_new and not self._essential and not isinstance(error, EdgeFerError):
            _log.exception("sink %s failed unexpectedly", self.name, exc_info=error)
        elif is_new and self._logged:
            _log.warning("sink %s failed, and is tried again: %s", self.name, reason)

    def _excess(self, record: Record) -> int | None:
        """The place in the queue of the oldest record of a kind, while there is no room for another one of it."""
        is_track = isinstance(record, TrackRecord)
        places = [place for place, (other, _) in enumerate(self._queue) if isinstance(other, TrackRecord) == is_track]
        return places[0] if len(places) >= (_TRACKS if is_track else self._sink.queue_size) else None

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
