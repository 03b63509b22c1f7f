from __future__ import annotations

import pytest

from edge_fer.publish.mavlink.timesync import MIN_SAMPLES, TIMEOUT_NS, Timesync
from tests.support.mavlink_peer import Jitter

MS, S = 10**6, 10**9
START = 1000 * S


def exchange(clock: Timesync, way: Jitter, now_ns: int) -> bool:
    clock.request_sent(now_ns)
    theirs, here = way.exchange(now_ns)
    return clock.reply_received(now_ns, theirs, here)


@pytest.mark.parametrize("offset_ns", [0, -999 * S, 10**18])
@pytest.mark.parametrize("seed", range(6))
def test_it_converges_although_the_delay_varies(offset_ns: int, seed: int) -> None:
    """Each way takes 1 ms and 5 ms more on average: any single answer is off by milliseconds."""
    clock, way = Timesync(50 * MS), Jitter(offset_ns, MS, 5 * MS, seed)
    for second in range(60):
        exchange(clock, way, START + second * S)
        offset = clock.offset_ns(START + second * S + S // 2)
        if second >= 16:
            assert offset is not None
            assert abs(offset - offset_ns) < 2.5 * MS


def test_nothing_is_known_before_enough_answers() -> None:
    clock, way = Timesync(50 * MS), Jitter(S, MS, MS)
    for number in range(MIN_SAMPLES):
        assert clock.offset_ns(START + number * S) is None
        assert exchange(clock, way, START + number * S)
    assert clock.offset_ns(START + MIN_SAMPLES * S) is not None


def test_an_answer_that_took_too_long_is_not_used() -> None:
    clock = Timesync(50 * MS)
    clock.request_sent(START)
    assert not clock.reply_received(START, 0, START + 51 * MS)


def test_an_answer_is_used_once_and_only_to_what_was_asked() -> None:
    clock = Timesync(50 * MS)
    clock.request_sent(START)
    assert not clock.reply_received(START + 1, 0, START + MS)
    assert clock.reply_received(START, 0, START + MS)
    assert not clock.reply_received(START, 0, START + MS)


def test_one_wild_answer_moves_nothing() -> None:
    clock, way = Timesync(50 * MS), Jitter(S, MS, MS)
    for second in range(10):
        exchange(clock, way, START + second * S)
    before = clock.offset_ns(START + 10 * S)
    assert not exchange(clock, Jitter(70 * S, MS // 10, 1), START + 10 * S)
    assert clock.offset_ns(START + 11 * S) == before


def test_a_clock_that_jumped_is_followed_within_seconds() -> None:
    clock = Timesync(50 * MS)
    for second in range(20):
        exchange(clock, Jitter(S, MS, MS), START + second * S)
    for second in range(20, 25):
        exchange(clock, Jitter(-S, MS, MS), START + second * S)
    found = clock.offset_ns(START + 25 * S)
    assert found is not None
    assert abs(found + S) < 3 * MS


def test_a_clock_that_falls_silent_is_not_known_any_more() -> None:
    clock, way = Timesync(50 * MS), Jitter(S, MS, MS)
    for second in range(MIN_SAMPLES):
        exchange(clock, way, START + second * S)
    later = START + MIN_SAMPLES * S + TIMEOUT_NS
    assert clock.offset_ns(later) is None
    exchange(clock, way, later)
    assert clock.offset_ns(later + S) is None, "what was known before the silence counts no more"


def test_a_clock_that_runs_faster_is_followed() -> None:
    """50 parts in a million, as of two cheap crystals."""
    clock, way = Timesync(50 * MS), Jitter(0, MS, MS)
    for second in range(600):
        way.offset_ns = second * S * 50 // 10**6
        exchange(clock, way, START + second * S)
    found = clock.offset_ns(START + 600 * S)
    assert found is not None
    assert abs(found - way.offset_ns) < 2 * MS
