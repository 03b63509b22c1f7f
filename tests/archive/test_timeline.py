"""Expressions over time, in few bins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.archive.timeline import MOST_BINS, SHOWN, Timeline


@given(st.lists(st.tuples(st.floats(0, 1e7), st.sampled_from(SHOWN), st.floats(0, 100)), max_size=50))
def test_nothing_is_lost_however_long_it_gets(faces: list[tuple[float, str | None, float]]) -> None:
    timeline = Timeline()
    for position_ms, label, lasted_ms in sorted(faces, key=lambda face: face[0]):
        timeline.reach(position_ms)
        timeline.add(position_ms, label, lasted_ms)
    assert len(timeline.bins) <= MOST_BINS
    for place, label in enumerate(SHOWN):
        total = sum(lasted for _, found, lasted in faces if found == label)
        assert sum(one[place] for one in timeline.bins) == pytest.approx(total)


def test_a_bin_is_twice_as_long_when_there_are_too_many() -> None:
    timeline = Timeline()
    for second in range(200):
        timeline.reach(second * 1e3)
        timeline.add(second * 1e3, "neutral", 1e3)
    assert timeline.bin_ms == 1000
    assert [one[SHOWN.index("neutral")] for one in timeline.bins] == [1000.0] * 200
