from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.publish.mqtt.buffer import Buffer, Message, PendingRecord, RetainedMessages
from tests.support.waiting import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def message(number: int, size: int = 10) -> Message:
    return Message("t", f"{number}".encode().rjust(size))


def take_all(buffer: Buffer) -> list[tuple[PendingRecord, Message]]:
    taken = []
    while (one := buffer.take()) is not None:
        taken.append(one)
    return taken


def numbers(taken: list[tuple[PendingRecord, Message]]) -> list[int]:
    return [int(one.payload) for _, one in taken]


def test_records_come_out_in_order_and_stay_until_they_are_acknowledged(clock: Clock) -> None:
    buffer = Buffer(1000, 60, clock)
    for number in range(3):
        buffer.put([message(number)])
    taken = take_all(buffer)
    assert numbers(taken) == [0, 1, 2]
    assert buffer.counts == (0, 0, 3)
    for record, one in taken:
        buffer.settle(record, one, refused=False)
    assert buffer.counts == (3, 0, 0)


def test_what_waited_too_long_is_dropped_and_counted(clock: Clock) -> None:
    buffer = Buffer(1000, 60, clock)
    buffer.put([message(0)])
    clock.now = 30
    buffer.put([message(1)])
    clock.now = 60
    assert buffer.counts == (0, 0, 2)
    clock.now = 61
    assert numbers(take_all(buffer)) == [1]
    assert buffer.counts == (0, 1, 1)


def test_age_counts_while_nobody_takes(clock: Clock) -> None:
    buffer = Buffer(1000, 60, clock)
    buffer.put([message(0)])
    clock.now = 100
    buffer.put([message(1)])
    assert buffer.counts == (0, 1, 1)


def test_the_oldest_makes_room(clock: Clock) -> None:
    buffer = Buffer(35, 60, clock)
    for number in range(5):
        buffer.put([message(number)])
    assert buffer.counts == (0, 2, 3)
    assert numbers(take_all(buffer)) == [2, 3, 4]


def test_a_record_that_never_fits_is_dropped(clock: Clock) -> None:
    buffer = Buffer(35, 60, clock)
    buffer.put([message(0, size=36)])
    assert buffer.counts == (0, 1, 0)
    buffer.put([message(1)])
    assert numbers(take_all(buffer)) == [1]


def test_what_is_under_way_is_not_dropped(clock: Clock) -> None:
    buffer = Buffer(25, 60, clock)
    buffer.put([message(0)])
    taken = take_all(buffer)
    clock.now = 100
    for number in range(1, 4):
        buffer.put([message(number)])
    assert buffer.counts == (0, 2, 2)
    buffer.settle(*taken[0], refused=False)
    assert numbers(take_all(buffer)) == [3]


def test_what_was_not_acknowledged_comes_again_before_the_rest(clock: Clock) -> None:
    buffer = Buffer(1000, 60, clock)
    for number in range(4):
        buffer.put([message(10 * number), message(10 * number + 1)])
    taken = [buffer.take() for _ in range(5)]
    assert taken[0] is not None
    buffer.settle(*taken[0], refused=False)
    buffer.rewind()
    assert numbers(take_all(buffer)) == [1, 10, 11, 20, 21, 30, 31]


def test_a_record_counts_once_all_of_its_messages_are_through(clock: Clock) -> None:
    buffer = Buffer(1000, 60, clock)
    buffer.put([message(0), message(1)])
    first, second = take_all(buffer)
    buffer.settle(*second, refused=False)
    assert buffer.counts == (0, 0, 1)
    buffer.settle(*first, refused=False)
    assert buffer.counts == (1, 0, 0)


def test_a_record_that_is_refused_in_part_is_dropped(clock: Clock) -> None:
    buffer = Buffer(1000, 60, clock)
    buffer.put([message(0), message(1)])
    first, second = take_all(buffer)
    buffer.settle(*first, refused=True)
    buffer.settle(*second, refused=False)
    assert buffer.counts == (0, 1, 0)


@given(st.lists(st.sampled_from(["put", "take", "settle", "refuse", "rewind", "wait"])))
def test_nothing_is_ever_lost_uncounted_or_out_of_order(steps: list[str]) -> None:
    clock = Clock()
    buffer = Buffer(45, 3, clock)
    put, taken, under_way = 0, [], []
    for step in steps:
        if step == "put":
            buffer.put([message(put)])
            put += 1
        elif step == "take" and (one := buffer.take()) is not None:
            taken += numbers([one])
            under_way.append(one)
        elif step in ("settle", "refuse") and under_way:
            buffer.settle(*under_way.pop(0), refused=step == "refuse")
        elif step == "rewind":
            buffer.rewind()
            under_way.clear()
        elif step == "wait":
            clock.now += 1
        assert sum(buffer.counts) == put
    firsts = list(dict.fromkeys(taken))
    assert firsts == sorted(firsts)


def test_of_each_topic_the_newest_stands_on_the_board() -> None:
    retained = RetainedMessages()
    retained.put(Message("a", b"1"))
    retained.put(Message("b", b"2"))
    retained.put(Message("a", b"3"))
    assert [retained.take(), retained.take(), retained.take()] == [Message("a", b"3"), Message("b", b"2"), None]
    assert retained.is_empty
    retained.republish()
    assert not retained.is_empty
    assert retained.take() == Message("a", b"3")
