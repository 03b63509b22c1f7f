from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.bench.monitor import BenchMonitor


class Board:
    """A clock, a thread's work and a sleep that belong together."""

    def __init__(self) -> None:
        self.now = self.worked = 0.0

    def work(self, seconds: float, waited: float = 0.0) -> None:
        self.now += seconds + waited
        self.worked += seconds

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monitor(self, stretch: float) -> BenchMonitor:
        return BenchMonitor(stretch, lambda: self.now, lambda: self.worked, self.sleep)


@given(st.floats(1.0, 30.0), st.floats(0.001, 0.2))
def test_a_stage_takes_as_many_times_longer_as_it_is_stretched(stretch: float, seconds: float) -> None:
    board = Board()
    monitor = board.monitor(stretch)
    with monitor.stage("follow"):
        board.work(seconds)
    assert monitor.seconds["follow"] == pytest.approx(seconds * stretch)
    assert monitor.stage_times()["follow"].p50_ms == pytest.approx(seconds * stretch * 1e3, abs=0.01)


def test_reading_faces_is_the_accelerators_and_is_not_stretched() -> None:
    board = Board()
    monitor = board.monitor(10)
    with monitor.stage("classify"):
        board.work(0.01)
    assert monitor.seconds["classify"] == pytest.approx(0.01)


def test_what_other_programs_take_is_not_stretched() -> None:
    board = Board()
    monitor = board.monitor(2)
    with monitor.stage("follow"):
        board.work(0.01, waited=0.005)
    with monitor.stage("align"):
        board.work(0.01, waited=0.5)
    assert monitor.seconds["follow"] == pytest.approx(0.02)
    assert monitor.seconds["align"] == pytest.approx(0.51), "longer than it should take already: nothing is added"


def test_an_accelerator_that_is_waited_for_is_not_stretched() -> None:
    board = Board()
    monitor = board.monitor(4)
    with monitor.stage("detect"):
        board.work(0.01)
        monitor.wait(0.1)
    with monitor.stage("detect"):
        board.work(0.01)
    assert monitor.seconds["detect"] == pytest.approx(0.1 + 2 * 0.04)


def test_everything_since_the_warm_up_counts_however_long_ago() -> None:
    board = Board()
    monitor = board.monitor(1)
    with monitor.stage("follow"):
        board.work(1.0)
    monitor.tick()
    monitor.forget()
    assert (monitor.stage_times(), dict(monitor.passes), monitor.fps()) == ({}, {}, 0)
    for _ in range(3):
        with monitor.stage("follow"):
            board.work(1.0)
        board.now += 1e6
    assert monitor.passes == {"follow": 3}
    assert monitor.stage_times()["follow"].count == 3
