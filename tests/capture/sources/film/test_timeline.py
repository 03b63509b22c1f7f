"""When frames are shown, from timestamps as films have them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.capture.sources.film.timeline import Timeline

MS = 10**6
HOUR = 3600 * 1000


def places(stamps, start=0):
    """The positions of frames, milliseconds, at 25 a second where no timestamp tells."""
    timeline = Timeline(None if start is None else start * MS, 40 * MS)
    return [timeline.place(None if stamp is None else stamp * MS) // MS for stamp in stamps]


@pytest.mark.parametrize(
    ("stamps", "start", "expected"),
    [
        ([0, 40, 700, 705], 0, [0, 40, 700, 705]),
        ([1400, 1440], 1400, [0, 40]),
        ([1423, 1463], 1400, [23, 63]),  # its sound begins earlier
        ([500, 540], None, [0, 40]),
        ([5000, 5040], 0, [5000, 5040]),
        ([9 * HOUR, 9 * HOUR + 40], 0, [0, 40]),
        ([None, None, None], None, [0, 40, 80]),
        ([0, None, None, 120], 0, [0, 40, 80, 120]),
        ([0, 40, 80, 0, 40, 80], 0, [0, 40, 80, 120, 160, 200]),  # two recordings in one file
        ([1000, 1040, 0, 1080], 0, [1000, 1040, 1080, 1120]),  # one timestamp is wrong
        ([0, 40, 40, 80], 0, [0, 40, 80, 120]),
        ([0, 40, 20 * HOUR, 20 * HOUR + 50], 0, [0, 40, 80, 130]),
        ([0, HOUR // 2, HOUR], 0, [0, HOUR // 2, HOUR]),  # a frame every half hour
    ],
)
def test_positions_of_timestamps(stamps, start, expected):
    assert places(stamps, start) == expected


@given(
    st.lists(st.none() | st.integers(-(2**62), 2**62), max_size=30),
    st.none() | st.integers(-(2**62), 2**62),
    st.integers(1, 10**10),
)
def test_positions_always_grow(stamps, start, period):
    timeline = Timeline(start, period)
    positions = [timeline.place(stamp) for stamp in stamps]
    assert all(one < other for one, other in itertools.pairwise(positions))
    assert all(0 <= position <= (index + 1) * max(HOUR * MS, period) for index, position in enumerate(positions))
