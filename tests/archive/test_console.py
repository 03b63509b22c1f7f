"""What a job prints for a person."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from edge_fer.archive.console import ConsoleShown, print_summary
from edge_fer.archive.label_archive import Summary


def test_recordings_that_fail_before_the_job_begins_are_counted_among_all() -> None:
    text = StringIO()
    with ConsoleShown(Console(file=text, width=100), clock=lambda: 0.0) as shown:
        shown.done("gone.mp4", "it is not there")
        shown.begin(1, 0)
        shown.done("a.mp4", None)
    assert text.getvalue().split("\n")[:2] == ["gone.mp4: it is not there", "2 of 2: a.mp4"]


def test_a_summary_has_a_line_for_what_there_is() -> None:
    text = StringIO()
    print_summary(Summary(others={"a": "", "b": "", "c": ""}), Console(file=text, width=100))
    assert "of other jobs  3 more in this folder" in text.getvalue()
    assert "of other settings" not in text.getvalue()
    assert "read in part" not in text.getvalue()
    assert "shown" not in text.getvalue()


def test_a_summary_names_recordings_of_other_settings() -> None:
    text = StringIO()
    others = {"a": ""} | {f"{number}.mp4": "sampling: one frame in 5" for number in range(5)}
    print_summary(Summary(others=others), Console(file=text, width=1000))
    assert "6 more in this folder" in text.getvalue()
    assert "5 of them: 0.mp4 (sampling: one frame in 5); 1.mp4 " in text.getvalue()
    assert "and 2 more, which report.html names; rows of other settings" in text.getvalue()
