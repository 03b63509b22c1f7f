from __future__ import annotations

import threading

import pytest

from edge_fer.common.deadline import Deadline


def test_a_call_that_outlives_its_deadline_is_missed_until_it_ends() -> None:
    now = 10.0
    deadline = Deadline(lambda: now)
    assert not deadline.missed
    with deadline.within(5):
        now = 15.0
        assert not deadline.missed
        now = 15.1
        assert deadline.missed
    assert not deadline.missed


def test_an_error_ends_a_call_too() -> None:
    now = 0.0
    deadline = Deadline(lambda: now)
    with pytest.raises(ValueError, match="broken"), deadline.within(1):
        raise ValueError("broken")
    now = 100.0
    assert not deadline.missed


def test_each_thread_has_its_own() -> None:
    now = 0.0
    deadline = Deadline(lambda: now)
    inside, go_on = threading.Event(), threading.Event()

    def stuck() -> None:
        with deadline.within(1):
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=stuck)
    thread.start()
    assert inside.wait(10)
    with deadline.within(100):
        now = 2.0
    assert deadline.missed
    go_on.set()
    thread.join(10)
    assert not deadline.missed
