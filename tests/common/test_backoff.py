from __future__ import annotations

from edge_fer.common.backoff import Backoff
from tests.support.waiting import Clock


def test_pauses_double_up_to_the_cap_and_start_again_after_a_success() -> None:
    clock = Clock(100.0)
    backoff = Backoff(0.5, 3.0, clock)
    assert backoff.ready
    assert [backoff.failed() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.failures == 5
    clock.now += 2.9
    assert not backoff.ready
    clock.now += 0.1
    assert backoff.ready
    backoff.reset()
    assert backoff.failed() == 0.5


def test_pauses_stay_at_the_cap_for_ever() -> None:
    backoff = Backoff(0.5, 10.0)
    assert {backoff.failed() for _ in range(5000)} >= {10.0}
    assert backoff.failed() == 10.0
