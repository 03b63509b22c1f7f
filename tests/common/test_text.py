"""Names of files and devices may hold anything; a terminal must show them and not obey them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.common.text import escaped, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]0;title\x07.jpg", r"a\x1b]0;title\x07.jpg"),
        ("a\x9b31m.jpg", r"a\x9b31m.jpg"),
        ("gpj.\N{RIGHT-TO-LEFT OVERRIDE}a", r"gpj.\u202ea"),
        ("T\udcfcr.jpg", r"T\udcfcr.jpg"),
        ("Tür 日本 \N{GRINNING FACE}", "Tür 日本 \N{GRINNING FACE}"),
        ("two\n\tlines", "two\n\tlines"),
    ],
)
def test_what_would_steer_a_terminal_is_written_as_an_escape(text: str, shown: str) -> None:
    assert escaped(text) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_can_be_printed_on_one_line(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text).encode().decode() == printable(text)
