"""Marks: their file to the byte, and what any sequence of keys can do to them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.errors import SourceError
from edge_fer.lab.clips.marks import FLAGS, Marks, parse_marks, press

PAPER = b"3\t89\t43\t1\t0\t0\t0\t0\n"
KEYS = st.tuples(st.sampled_from(["S", "W", *FLAGS]), st.integers(0, 300))


def after(*keys: tuple[str, int]) -> Marks:
    """The marks after these keys on these frames."""
    marks = Marks()
    for key, frame in keys:
        marks = press(marks, key, frame).marks
    return marks


def test_the_line_of_the_paper_is_read_and_written_to_the_byte() -> None:
    marks = parse_marks(PAPER, "CLIP.txt")
    assert marks == Marks(start=3, end=89, peak=43, non_correlating=True)
    assert marks.line() == PAPER


def test_s_marks_start_end_and_peak_and_a_fourth_does_nothing() -> None:
    marks = after(("S", 3), ("S", 89), ("S", 43))
    assert (marks.start, marks.end, marks.peak) == (3, 89, 43)
    again = press(marks, "S", 50)
    assert again.marks == marks
    assert "All three" in again.refusal


def test_frames_out_of_order_are_refused_with_a_sentence() -> None:
    begun = after(("S", 10))
    assert press(begun, "S", 9) == (begun, "The end cannot be before the start, frame 10: go forward, or press Z.")
    ended = after(("S", 10), ("S", 20))
    for frame in (9, 21):
        assert press(ended, "S", frame) == (ended, "The peak must be between frame 10 and frame 20.")
    assert after(("S", 5), ("S", 5), ("S", 5)).is_marked


def test_w_takes_all_away() -> None:
    assert after(("S", 1), ("G", 0), ("T", 0), ("W", 7)) == Marks()


def test_a_flag_is_switched_on_and_off_and_occlusion_is_low_or_heavy() -> None:
    for key, name in FLAGS.items():
        assert after((key, 0)) == replace(Marks(), **{name: True})
        assert after((key, 0), (key, 1)) == Marks()
    assert after(("U", 0), ("P", 0)) == Marks(heavy=True)
    assert after(("P", 0), ("U", 0)) == Marks(low=True)


def test_without_frames_only_a_clip_that_is_left_out_anyway_can_be_saved() -> None:
    for key in "GPX":
        marks = after((key, 0))
        assert marks.incomplete == ""
        assert parse_marks(marks.line(), "CLIP.txt") == marks
    assert after(("X", 0)).line() == b"-1\t-1\t-1\t0\t0\t0\t0\t1\n"
    for keys in ("", "T", "U"):
        assert "The start is not marked" in after(*((key, 0) for key in keys)).incomplete
    assert "The peak is not marked" in after(("X", 0), ("S", 1), ("S", 2)).incomplete


@given(st.lists(KEYS, max_size=40))
def test_whatever_is_pressed_the_marks_are_in_order_and_survive_the_file(keys: list[tuple[str, int]]) -> None:
    marks = Marks()
    for key, frame in keys:
        before, (marks, refusal) = marks, press(marks, key, frame)
        assert not refusal or marks == before
        assert not (marks.low and marks.heavy)
        assert marks.peak is None or (marks.end is not None and marks.start <= marks.peak <= marks.end)
        if not marks.incomplete:
            assert parse_marks(marks.line(), "CLIP.txt") == marks


@given(st.binary(max_size=60) | st.lists(st.integers(-3, 120), max_size=10).map(
    lambda numbers: " ".join(map(str, numbers)).encode()))  # fmt: skip
def test_any_content_is_marks_or_is_refused(content: bytes) -> None:
    with suppress(SourceError):
        marks = parse_marks(content, "CLIP.txt")
        assert parse_marks(marks.line(), "CLIP.txt") == marks


@pytest.mark.parametrize("line", ["9 3 5 0 0 0 0 0", "3 9 1 0 0 0 0 0", "3 9 5 2 0 0 0 0", "3 9 5 0 0 1 1 0",
                                  "-1 -1 -1 0 0 0 0 0", "-1 9 5 0 0 0 0 1", "3 9 5 0 0 0 0", "a b c", ""])  # fmt: skip
def test_a_damaged_file_is_named(line: str) -> None:
    with pytest.raises(SourceError, match=r"expected eight integers in CLIP\.txt .*; label the clip again$"):
        parse_marks(line.encode(), "CLIP.txt")
