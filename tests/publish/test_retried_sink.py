from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish import Sink
from edge_fer.publish.retried_sink import RetriedSink
from edge_fer.publish.sink_queue import SinkQueue
from edge_fer.schema import Reading, Record, SinkStatus
from edge_fer.types import Image
from tests.support.records import make_reading, make_status
from tests.support.waiting import Clock, wait_until

PICTURE = np.zeros((4, 4, 3), np.uint8)


class Disk:
    """What may be wrong, what was written, and how often it was opened and closed."""

    def __init__(self) -> None:
        self.open_error: Exception | None = None
        self.error: Exception | None = None
        self.close_error: Exception | None = None
        self.opened = self.closed = 0
        self.frames: list[int] = []


class Fragile(Sink):
    """A sink that does not recover by itself."""

    name = "fragile"
    pictures = True
    statuses = recovers = False
    queue_size = 3

    def __init__(self, disk: Disk) -> None:
        if disk.open_error is not None:
            raise disk.open_error
        self._disk = disk
        disk.opened += 1

    def publish(self, record: Record, image: Image | None) -> None:
        assert isinstance(record, Reading)
        assert image is not None
        if self._disk.error is not None:
            raise self._disk.error
        self._disk.frames.append(record.frame)

    def close(self) -> None:
        self._disk.closed += 1
        if self._disk.close_error is not None:
            raise self._disk.close_error


class Robust(Fragile):
    recovers = True


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def retried(disk: Disk, clock: Clock, kind: type[Fragile] = Fragile) -> RetriedSink:
    return RetriedSink("fragile", lambda: kind(disk), statuses=False, clock=clock)


def give(sink: RetriedSink, frame: int) -> str | None:
    """Publish a reading; what went wrong, in words."""
    try:
        sink.publish(make_reading(frame), PICTURE)
    except Exception as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "error", [OutputError("no such folder"), ConfigError("no such token"), OSError("?"), ZeroDivisionError("a bug")]
)
def test_a_sink_that_cannot_be_opened_is_opened_later(disk: Disk, clock: Clock, error: Exception) -> None:
    disk.open_error = error
    sink = retried(disk, clock)
    assert give(sink, 0) == str(error)
    disk.open_error = None
    assert give(sink, 1) == str(error), "not before the pause is over"
    clock.now = 0.5
    assert give(sink, 2) is None
    assert (disk.frames, disk.opened) == ([2], 1)
    sink.close()
    sink.close()
    assert disk.closed == 1


def test_one_that_fails_is_closed_and_opened_again_after_pauses_that_grow(disk: Disk, clock: Clock) -> None:
    sink = retried(disk, clock)
    assert give(sink, 0) is None
    disk.error, opened_at = OutputError("the stick was pulled"), []
    for tick in range(1, 4000):
        clock.now, before = tick / 10, disk.opened
        assert give(sink, tick) == "the stick was pulled"
        if disk.opened > before:
            opened_at.append(clock.now)
    pauses = np.diff([0.1, *opened_at])
    assert pauses[:6] == pytest.approx([0.5, 1, 2, 4, 8, 16], abs=0.11)
    assert pauses[6:] == pytest.approx([30] * (len(pauses) - 6), abs=0.11)
    assert disk.closed == disk.opened
    disk.error = None
    clock.now += 31
    assert give(sink, 4000) is None
    disk.error = OutputError("again")
    assert give(sink, 4001) == "again"
    disk.error = None
    clock.now += 0.6
    assert give(sink, 4002) is None, "the pauses are short again"
    assert disk.frames == [0, 4000, 4002]


def test_one_that_recovers_by_itself_stays_open(disk: Disk, clock: Clock) -> None:
    sink = retried(disk, clock, Robust)
    disk.error = OutputError("the disk is full")
    assert give(sink, 0) == "the disk is full"
    disk.error = None
    assert give(sink, 1) is None
    assert (disk.opened, disk.closed) == (1, 0)


def test_an_error_while_it_is_closed_hides_nothing(disk: Disk, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    sink = retried(disk, clock)
    disk.error, disk.close_error = OutputError("the disk is full"), OutputError("no room for the end")
    assert give(sink, 0) == "the disk is full"
    assert caplog.messages == ["sink fragile could not be closed in order, either: no room for the end"]
    disk.error = disk.close_error = None
    clock.now = 1
    assert give(sink, 1) is None


def test_it_is_opened_while_no_record_comes(disk: Disk, clock: Clock) -> None:
    disk.open_error = OutputError("not mounted")
    sink = retried(disk, clock)
    with pytest.raises(OutputError, match="not mounted"):
        sink.tick()
    disk.open_error, clock.now = None, 1
    sink.tick()
    assert disk.opened == 1


def test_it_is_like_the_sink_once_that_is_open(disk: Disk, clock: Clock) -> None:
    disk.open_error = OutputError("not mounted")
    sink = retried(disk, clock)
    assert (sink.pictures, sink.statuses, sink.queue_size) == (True, False, 4)
    disk.open_error = None
    assert give(sink, 0) is None
    assert (sink.name, sink.pictures, sink.statuses, sink.queue_size, sink.tick_s) == ("fragile", True, False, 3, None)
    assert sink.condition is None


def test_every_record_is_sent_or_counted_and_the_sink_is_told_to_have_failed(disk: Disk, clock: Clock) -> None:
    """Behind its queue, as in a run; a status is no proof that a picture can be written."""
    queue = SinkQueue(retried(disk, clock), essential=False)
    published = 0

    def publish(until: Callable[[SinkStatus], bool]) -> SinkStatus:
        nonlocal published
        queue.publish(make_reading(published), PICTURE)
        queue.publish(make_status(), None)
        published += 1
        wait_until(lambda: not queue.condition.waiting)
        found = queue.condition
        assert found.sent + found.dropped == published
        assert until(found), found
        return found

    publish(lambda found: found.state == "ok")
    disk.error = disk.open_error = OutputError("the stick was pulled")
    for clock.now in range(1, 100):
        publish(lambda found: (found.state, found.reason) == ("failed", "the stick was pulled"))
    disk.error = disk.open_error = None
    clock.now = 200
    assert publish(lambda found: found.state == "ok").dropped == 99
    queue.close()
    assert disk.frames == [0, 100]
    assert "sink fragile" not in [thread.name for thread in threading.enumerate()]


class Keeping(Robust):
    """A sink that keeps what it could not send."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self.kept: list[str] = []

    def resume(self, unsent: Sequence[str]) -> None:
        self.kept += unsent

    def take_unsent(self) -> Sequence[str]:
        return self.kept


@pytest.mark.parametrize("opens", ["at once", "later", "never"])
def test_what_an_earlier_sink_has_not_sent_is_handed_on(disk: Disk, clock: Clock, opens: str) -> None:
    if opens != "at once":
        disk.open_error = OutputError("not mounted")
    sink = retried(disk, clock, Keeping)
    sink.resume(["a", "b"])
    assert disk.opened == (opens == "at once")
    if opens == "later":
        disk.open_error = None
        sink.tick()
    sink.close()
    assert list(sink.take_unsent()) == ["a", "b"]
