from __future__ import annotations

import pytest

from edge_fer.publish.attitude import Attitude

MS = 1_000_000


def test_nobody_knows_before_it_is_told_nor_long_after() -> None:
    attitude = Attitude()
    assert attitude.roll_deg(0) == 0.0
    attitude.add(5000 * MS, 30.0)
    assert attitude.roll_deg(5000 * MS) == 30.0
    assert attitude.roll_deg(5900 * MS) == 30.0
    assert attitude.roll_deg(6001 * MS) == 0.0
    assert attitude.roll_deg(3999 * MS) == 0.0


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(10.0, 20.0, 12.5), (-20.0, 20.0, -10.0), (170.0, -170.0, 175.0)]
)
def test_between_two_moments_it_is_between_what_was_told(before: float, after: float, expected: float) -> None:
    attitude = Attitude()
    attitude.add(1000 * MS, before)
    attitude.add(1100 * MS, after)
    assert attitude.roll_deg(1025 * MS) == pytest.approx(expected)
    assert attitude.roll_deg(1000 * MS) == pytest.approx(before)
    assert attitude.roll_deg(1100 * MS) == pytest.approx(after)
    assert attitude.roll_deg(1150 * MS) == pytest.approx(after)
