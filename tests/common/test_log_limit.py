from __future__ import annotations

import io
import logging

from edge_fer.common.log_limit import LogLimit


def test_what_is_left_out_is_counted_and_told() -> None:
    now = [0.0]
    log, stream = logging.Logger("strangers"), io.StringIO()
    log.addHandler(logging.StreamHandler(stream))
    log.addFilter(LogLimit(at_once=2, every_s=60, clock=lambda: now[0]))

    def knock(number: int) -> None:
        log.error("no %d", number)

    for number in range(10):
        knock(number)
    log.error("something else")
    now[0] = 60.0
    knock(10)
    knock(11)
    assert stream.getvalue().splitlines() == ["no 0", "no 1", "something else", "no 10 (and 8 such messages before it)"]
