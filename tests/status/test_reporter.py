from __future__ import annotations

from edge_fer.status.reporter import iso


def test_times_are_for_people_and_programs() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
