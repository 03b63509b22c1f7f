"""What `tools.field.corpus` finds wrong with how a file was read."""

from __future__ import annotations

import pytest

from tools.field.corpus import Limits, Outcome, Probe, faults
from tools.field.corpus_files import DAMAGED, REFUSED, Expected

LIMITS = Limits(90.0, 1000.0)
PROBED = Probe(24, 0.8)


def outcome(count=24, code=0, told="", stderr=(), faces=1, memory_mb=200.0):
    readings = [{"position_ms": 800 / 23 * number, "faces": [1] * faces} for number in range(count)]
    return Outcome(code, readings, told, list(stderr), 5.0, memory_mb)


def test_a_film_that_is_read_whole_is_well():
    assert faults(outcome(), PROBED, Expected(), LIMITS) == []
    assert faults(outcome(), PROBED, Expected(None), LIMITS) == []


def test_what_is_refused_or_damaged_is_well_where_it_is_told():
    assert faults(outcome(0, code=3, stderr=["edge-fer: ..."]), PROBED, REFUSED, LIMITS) == []
    assert faults(outcome(13, code=3), PROBED, DAMAGED, LIMITS) == []
    assert faults(outcome(13, told="5 frames are left out"), PROBED, DAMAGED, LIMITS) == []


@pytest.mark.parametrize(
    ("run", "expected", "found"),
    [
        (outcome(1), Expected(), "1 readings of 24 frames, not told"),
        (outcome(0, code=3), Expected(), "0 readings of 24 frames, told"),
        (outcome(13), DAMAGED, "13 readings of 24 frames, not told"),
        (outcome(faces=0), Expected(), "a face in only 0 of 24"),
        (outcome(code=1), Expected(), "ended with 1"),
        (outcome(code=None), Expected(), "took over 90 s"),
        (outcome(stderr=["Traceback (most recent call last):"]), Expected(), "a traceback"),
        (outcome(stderr=["overread"] * 4), Expected(), "4 lines on standard error"),
        (outcome(memory_mb=1900.0), Expected(), "1900 MB of memory"),
    ],
)
def test_anything_else_is_a_fault(run, expected, found):
    assert found in faults(run, PROBED, expected, LIMITS)


def test_a_film_at_the_wrong_speed_is_a_fault():
    assert faults(outcome(), Probe(24, 10.0), Expected(), LIMITS) == ["0.80 s of 10.00 s"]
