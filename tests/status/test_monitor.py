from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.status.monitor import Monitor, clock_synced


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rate_counts_intervals_not_frames() -> None:
    clock = Clock()
    monitor = Monitor(10, clock)
    for _ in range(31):
        monitor.tick()
        clock.now += 1 / 30
    assert monitor.fps() == pytest.approx(30)


def test_no_rate_before_two_frames() -> None:
    monitor = Monitor(10, Clock())
    assert monitor.fps() == 0
    monitor.tick()
    assert monitor.fps() == 0


def test_frames_beyond_the_window_do_not_count() -> None:
    clock = Clock()
    monitor = Monitor(5, clock)
    for _ in range(100):
        monitor.tick()
        clock.now += 0.01
    clock.now = 100
    assert monitor.fps() == 0
    monitor.tick()
    clock.now += 0.5
    monitor.tick()
    assert monitor.fps() == pytest.approx(2)


@given(st.lists(st.floats(0.001, 0.2), min_size=1, max_size=50))
def test_stage_times_are_ordered_and_within_what_was_measured(seconds: list[float]) -> None:
    clock = Clock()
    monitor = Monitor(1000, clock)
    for duration in seconds:
        with monitor.stage("detect"):
            clock.now += duration
    time = monitor.stage_times()["detect"]
    assert time.count == len(seconds)
    assert time.p99_ms is not None
    assert min(seconds) * 1e3 - 0.01 <= time.p50_ms <= time.p95_ms <= time.p99_ms <= max(seconds) * 1e3 + 0.01


def test_what_was_forgotten_no_longer_counts() -> None:
    clock = Clock()
    monitor = Monitor(1000, clock)
    for _ in range(5):
        monitor.tick()
        with monitor.stage("detect"):
            clock.now += 1
    monitor.forget()
    assert (monitor.fps(), monitor.stage_times()) == (0, {})
    with monitor.stage("detect"):
        clock.now += 2
    assert monitor.stage_times()["detect"].count == 1


def test_a_stage_that_did_not_run_lately_is_left_out() -> None:
    clock = Clock()
    monitor = Monitor(5, clock)
    with monitor.stage("detect"):
        clock.now += 1
    clock.now += 10
    with monitor.stage("classify"):
        clock.now += 1
    assert list(monitor.stage_times()) == ["classify"]


def test_a_failed_stage_is_not_timed() -> None:
    monitor = Monitor(5, Clock())
    with pytest.raises(ValueError, match="broken"), monitor.stage("detect"):
        raise ValueError("broken")
    assert monitor.stage_times() == {}


def test_the_kernel_tells_whether_its_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for state, synced in ((0, True), (5, False), (-1, False)):
        libc = SimpleNamespace(adjtimex=lambda _, state=state: state)
        monkeypatch.setattr("edge_fer.status.monitor._libc", lambda libc=libc: libc)
        assert clock_synced() is synced


def test_reading_the_clocks_state_does_not_set_the_clock() -> None:
    assert clock_synced() == clock_synced()


def test_the_first_pass_is_told_apart_from_the_others() -> None:
    clock = Clock()
    monitor = Monitor(60.0, clock)
    for seconds in (0.9, 0.02, 0.02):
        with monitor.stage("classify"):
            clock.now += seconds
    time = monitor.stage_times()["classify"]
    assert (time.count, time.p99_ms, time.first_ms) == (3, 20.0, 900.0)
    clock.now += 60.01
    assert monitor.stage_times() == {}
    with monitor.stage("classify"):
        clock.now += 0.03
    time = monitor.stage_times()["classify"]
    assert (time.count, time.p50_ms, time.first_ms) == (1, 30.0, 900.0)


def test_time_spent_degraded_adds_up() -> None:
    clock = Clock()
    monitor = Monitor(5.0, clock)
    told = [(False, 0.0), (True, 0.0), (True, 2.0), (False, 4.0), (True, 4.0), (False, 6.0)]
    for degraded, expected in told:
        assert monitor.degraded_s(degraded=degraded) == expected
        clock.now += 2.0


def test_samples_older_than_the_window_are_not_kept() -> None:
    clock = Clock()
    monitor = Monitor(5.0, clock)
    for _ in range(100):
        with monitor.stage("align"):
            clock.now += 1.0
    assert len(monitor._stages["align"]) == 6
