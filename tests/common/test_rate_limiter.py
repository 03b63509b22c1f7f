from __future__ import annotations

from edge_fer.common.rate_limiter import RateLimiter


def test_the_limiter_forgets_addresses_and_fills_up_again() -> None:
    now = [0.0]
    limiter = RateLimiter(2, 3, lambda: now[0])
    assert [limiter.allow("a") for _ in range(4)] == [True, True, True, False]
    now[0] += 0.5
    assert [limiter.allow("a") for _ in range(2)] == [True, False]
    assert not limiter.allow("a")
    for number in range(5000):
        assert limiter.allow(str(number))
    assert limiter.allow("a"), "it was forgotten"
