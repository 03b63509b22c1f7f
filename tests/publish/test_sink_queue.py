from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np
import pytest

from edge_fer.errors import OutputError
from edge_fer.publish import Sink
from edge_fer.publish.sink_queue import SinkQueue
from edge_fer.schema import Reading, Record, SinkStatus, TrackRecord
from edge_fer.types import Image
from tests.support.records import make_reading, make_status, make_track
from tests.support.waiting import Clock, wait_until

PICTURE = np.zeros((4, 4, 3), np.uint8)


class Gated(Sink):
    """A sink that takes a record only when the gate is open, and fails on demand."""

    name = "gated"
    pictures = True
    queue_size = 2

    def __init__(self) -> None:
        self.gate, self.inside = threading.Event(), threading.Event()
        self.frames: list[int] = []
        self.tracks: list[int] = []
        self.images: list[Image | None] = []
        self.closed_in = ""
        self.fails: Callable[[int], Exception | None] = lambda _: None

    def publish(self, record: Record, image: Image | None) -> None:
        self.inside.set()
        assert self.gate.wait(10)
        if isinstance(record, TrackRecord):
            self.tracks.append(record.id)
            return
        assert isinstance(record, Reading)
        error = self.fails(record.frame)
        if error is not None:
            raise error
        self.frames.append(record.frame)
        self.images.append(image)

    def close(self) -> None:
        self.closed_in = threading.current_thread().name


def fill(queue: SinkQueue, sink: Gated) -> None:
    """Publish frames 0..5; frame 0 is in the sink's hands before the others come."""
    queue.publish(make_reading(0), PICTURE)
    assert sink.inside.wait(10)
    for frame in range(1, 6):
        queue.publish(make_reading(frame), PICTURE)


def test_faces_that_have_left_do_not_give_way_to_readings_nor_readings_to_them() -> None:
    """Many may leave at once, and a sink with few places, as where pictures wait, shall miss none of them."""
    sink = Gated()
    queue = SinkQueue(sink, essential=False)
    queue.publish(make_reading(0), PICTURE)
    assert sink.inside.wait(10)
    for number in range(300):
        queue.publish(make_track(number), None)
        queue.publish(make_reading(number + 1), PICTURE)
    assert queue.condition.dropped == 298 + 44
    sink.gate.set()
    queue.close()
    assert sink.frames == [0, 299, 300]
    assert sink.tracks == list(range(44, 300))


def test_a_sink_without_statuses_gets_no_tracks() -> None:
    sink = Gated()
    sink.statuses = False
    sink.gate.set()
    queue = SinkQueue(sink, essential=False)
    queue.publish(make_track(), None)
    queue.publish(make_reading(1), PICTURE)
    queue.close()
    assert (sink.tracks, sink.frames) == ([], [1])


def test_a_slow_sink_loses_the_oldest_and_the_loss_is_counted() -> None:
    sink = Gated()
    queue = SinkQueue(sink, essential=False)
    fill(queue, sink)
    assert queue.condition == SinkStatus("ok", sent=0, dropped=3, waiting=3)
    sink.gate.set()
    queue.close()
    assert sink.frames == [0, 4, 5]
    assert queue.condition == SinkStatus("ok", sent=3, dropped=3, waiting=0)
    assert sink.closed_in == "sink gated"


def test_a_file_waits_for_an_essential_sink() -> None:
    sink = Gated()
    queue = SinkQueue(sink, essential=True, waits=lambda: True)
    publisher = threading.Thread(target=fill, args=(queue, sink))
    publisher.start()
    assert sink.inside.wait(10)
    sink.gate.set()
    publisher.join(10)
    queue.close()
    assert sink.frames == [0, 1, 2, 3, 4, 5]
    assert queue.condition.dropped == 0


def test_an_essential_sink_tells_its_error_once_and_hears_no_more() -> None:
    sink = Gated()
    sink.gate.set()
    sink.fails = lambda _: OutputError("the disk is full")
    queue = SinkQueue(sink, essential=True)
    queue.publish(make_reading(0), None)
    with pytest.raises(OutputError, match="the disk is full"):
        queue.close()
    queue.close()
    queue.publish(make_reading(1), None)
    assert sink.frames == []
    assert queue.condition.state == "failed"


@pytest.mark.parametrize("error", [OutputError("no room"), ZeroDivisionError("a bug")])
def test_another_sink_goes_on_after_an_error_and_says_so(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    sink = Gated()
    sink.gate.set()
    sink.fails = lambda frame: error if frame == 1 else None
    queue = SinkQueue(sink, essential=False)
    queue.publish(make_reading(1), None)
    queue.close()
    assert queue.condition == SinkStatus("failed", sent=0, dropped=1, reason=str(error))
    assert ("failed unexpectedly" in caplog.text) == isinstance(error, ZeroDivisionError)


def test_a_failure_and_its_lost_record_are_seen_at_the_same_moment() -> None:
    """Whoever reads the condition while the failure is being noted sees all of it or nothing."""
    seen: list[SinkStatus] = []

    class Looking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(queue.condition)

    sink = Gated()
    sink.gate.set()
    sink.fails = lambda _: ZeroDivisionError("a bug")
    queue = SinkQueue(sink, essential=False)
    logger, handler = logging.getLogger("edge_fer.publish.sink_queue"), Looking()
    logger.addHandler(handler)
    queue.publish(make_reading(1), None)
    queue.close()
    logger.removeHandler(handler)
    assert seen == [SinkStatus("failed", sent=0, dropped=1, waiting=0, reason="a bug")]


def test_counts_add_up_at_every_moment() -> None:
    """Each record is sent, dropped or waiting, whichever thread counts it."""
    published = 200

    class Failing(Sink):
        def publish(self, record: Record, image: Image | None) -> None:
            assert isinstance(record, Reading)
            if record.frame % 3 == 0:
                raise OutputError("no room")

    queue = SinkQueue(Failing(), essential=False)
    for frame in range(published):
        queue.publish(make_reading(frame), None)
        found = queue.condition
        assert found.sent + found.dropped + found.waiting == frame + 1
    queue.close()
    assert (queue.condition.sent, queue.condition.dropped) == (133, 67)


def test_no_record_is_missing_while_a_sink_that_counts_itself_takes_it() -> None:
    """Whoever asks just then sees it as waiting, or as both: never as neither."""

    class Counting(Gated):
        sent = 0

        def publish(self, record: Record, image: Image | None) -> None:
            super().publish(record, image)
            self.sent += 1

        @property
        def condition(self) -> SinkStatus:
            before = SinkStatus(sent=self.sent)
            if not self.gate.is_set():  # the record is taken while somebody asks
                self.gate.set()
                wait_until(lambda: self.sent == 1)
            return before

    sink = Counting()
    queue = SinkQueue(sink, essential=False)
    queue.publish(make_reading(0), None)
    assert sink.inside.wait(10)
    found = queue.condition
    queue.close()
    assert found.sent + found.waiting >= 1


def test_a_sink_is_well_again_with_the_next_record() -> None:
    sink = Gated()
    sink.gate.set()
    sink.fails = lambda frame: OutputError("no room") if frame == 1 else None
    queue = SinkQueue(sink, essential=False)
    queue.publish(make_reading(1), None)
    queue.publish(make_reading(2), None)
    queue.close()
    assert queue.condition == SinkStatus("ok", sent=1, dropped=1)


def test_a_tick_that_succeeds_does_not_make_a_sink_well() -> None:
    """As of a file on a full disk, whose tick has nothing to write."""
    ticks = threading.Semaphore(0)

    class Ticking(Gated):
        tick_s = 0.001

        def tick(self) -> None:
            ticks.release()

    sink = Ticking()
    sink.gate.set()
    sink.fails = lambda _: OutputError("the disk is full")
    queue = SinkQueue(sink, essential=False)
    queue.publish(make_reading(0), PICTURE)
    assert sink.inside.wait(10)
    for _ in range(3):
        assert ticks.acquire(timeout=10)
    assert queue.condition.state == "failed"
    queue.close()


def test_frames_go_to_those_who_want_them() -> None:
    class Blind(Gated):
        pictures = False

    for sink, expected in ((Gated(), PICTURE), (Blind(), None)):
        sink.gate.set()
        queue = SinkQueue(sink, essential=True)
        queue.publish(make_reading(0), PICTURE)
        queue.close()
        assert sink.images == [expected]


def test_a_sink_ticks_while_nothing_comes() -> None:
    ticked = threading.Event()

    class Ticking(Gated):
        tick_s = 0.001

        def tick(self) -> None:
            ticked.set()

    queue = SinkQueue(Ticking(), essential=False)
    assert ticked.wait(10)
    queue.close()


def test_a_sink_that_knows_better_is_believed() -> None:
    class Knowing(Gated):
        @property
        def condition(self) -> SinkStatus:
            return SinkStatus("waiting", sent=10, dropped=2, waiting=5, reason="the broker is away")

    sink = Knowing()
    queue = SinkQueue(sink, essential=False)
    fill(queue, sink)
    assert queue.condition == SinkStatus("waiting", 10, 2 + 3, 5 + 3, "the broker is away")
    sink.gate.set()
    queue.close()


def test_a_sink_that_is_stuck_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    sink = Gated()
    queue = SinkQueue(sink, essential=False, close_s=0.05)
    queue.publish(make_reading(0), None)
    queue.close()
    assert "did not end within 0.05 s" in caplog.text
    sink.gate.set()


def test_a_status_has_no_picture() -> None:
    class Any(Sink):
        def __init__(self) -> None:
            self.taken: list[tuple[Record, Image | None]] = []

        def publish(self, record: Record, image: Image | None) -> None:
            self.taken.append((record, image))

    sink = Any()
    queue = SinkQueue(sink, essential=True)
    queue.publish(make_status(), None)
    queue.close()
    assert [image for _, image in sink.taken] == [None]


class Deaf(Gated):
    """Takes pictures only."""

    statuses = False


def test_a_sink_that_takes_no_statuses_is_given_none() -> None:
    sink = Deaf()
    sink.gate.set()
    queue = SinkQueue(sink, essential=False)
    queue.publish(make_status(), None)
    queue.publish(make_reading(1), PICTURE)
    queue.close()
    assert queue.condition == SinkStatus("ok", sent=1)


def test_a_sink_that_is_stuck_says_so_until_it_gets_on() -> None:
    """As with a disk that hangs or a pipe that nobody reads."""
    sink, clock = Gated(), Clock()
    queue = SinkQueue(sink, essential=False, clock=clock)
    queue.publish(make_reading(0), None)
    assert sink.inside.wait(10)
    clock.now = 4.9
    assert queue.condition == SinkStatus("ok", waiting=1)
    clock.now = 5.1
    assert queue.condition == SinkStatus("waiting", waiting=1, reason="it has taken no record for 5 s")
    sink.gate.set()
    wait_until(lambda: queue.condition == SinkStatus("ok", sent=1))
    queue.close()


def test_a_file_does_not_wait_for_a_sink_that_is_stuck() -> None:
    sink, clock = Gated(), Clock()
    queue = SinkQueue(sink, essential=False, waits=lambda: True, clock=clock)
    publisher = threading.Thread(target=fill, args=(queue, sink))
    publisher.start()
    assert sink.inside.wait(10)
    publisher.join(0.2)
    assert publisher.is_alive(), "not at once"
    clock.now = 6
    publisher.join(10)
    assert not publisher.is_alive()
    assert queue.condition.dropped == 3
    sink.gate.set()
    queue.close()
    assert sink.frames == [0, 4, 5]


def test_an_error_that_goes_on_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for error, logged in ((ZeroDivisionError("a bug"), False), (OutputError("full"), True), (OutputError("x"), False)):
        sink = Gated()
        sink.gate.set()
        sink.fails = lambda frame, error=error: error if frame != 5 else None
        queue = SinkQueue(sink, essential=False, logged=logged)
        for frame in range(8):
            queue.publish(make_reading(frame), None)
            wait_until(lambda queue=queue: not queue.condition.waiting)
        queue.close()
    assert (
        caplog.messages == ["sink gated failed unexpectedly"] * 2 + ["sink gated failed, and is tried again: full"] * 2
    )


def test_a_tick_that_succeeds_does_not_hide_that_records_fail() -> None:
    """Nor does it after another tick has failed: only a record shows that records can be written."""

    class Ticking(Gated):
        tick_s = 0.001
        ticks_fail = True

        def tick(self) -> None:
            if self.ticks_fail:
                self.failed.set()
                raise OutputError("no folder")
            self.ticked.release()

        def __init__(self) -> None:
            super().__init__()
            self.failed, self.ticked = threading.Event(), threading.Semaphore(0)

    sink = Ticking()
    sink.gate.set()
    sink.fails = lambda frame: OutputError("the disk is full") if frame == 1 else None
    queue = SinkQueue(sink, essential=False)
    queue.publish(make_reading(1), None)
    wait_until(lambda: queue.condition.dropped == 1)
    sink.failed.clear()
    assert sink.failed.wait(10)
    sink.ticks_fail = False
    for _ in range(3):
        assert sink.ticked.acquire(timeout=10)
    assert queue.condition.state == "failed"
    queue.publish(make_reading(2), None)
    wait_until(lambda: queue.condition.state == "ok")
    queue.close()
