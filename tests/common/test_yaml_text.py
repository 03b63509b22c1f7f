"""Texts that people and strangers write as YAML: read, or refused in one line, and soon."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edge_fer.common.yaml_text import YamlTextError, parse_yaml

NAMES = string.ascii_lowercase[1:]


def doubling(first: str, then: str) -> str:
    """A text whose anchors stand each for nine of the one before."""
    before = zip(string.ascii_lowercase, NAMES, strict=False)
    return f"a: &a {first}\n" + "".join(f"{b}: &{b} {then.format(', '.join([f'*{a}'] * 9))}\n" for a, b in before)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (doubling("[1]", "[{}]"), "line [0-9]+, found: more than 20000 values"),
        (doubling("{{x: 1}}", "{{<<: [{}]}}"), "line [0-9]+, found: more than 20000 values"),
        ("a: &a [*a]", "more than 20000 values"),
        ("[" * 500, "lists within lists without end"),
        ("a: " + "9" * 5000, "a number of 5000 digits"),
        ("a: 0x" + "f" * 5000, "a number of 5002 digits"),
        ("a: !!bool maybe", "maybe"),
        ("a: !!float", "found: "),
        ("a: !!python/name:os.system x", "could not determine a constructor"),
        ("a: !!binary aGk=", "could not determine a constructor"),
        ("a" * 140_000, "expected at most 131072 characters"),
        ("a\x1b[31m: 1", "special characters are not allowed"),
    ],
)  # fmt: skip
def test_what_nobody_means_is_refused_in_one_line(text: str, found: str) -> None:
    with pytest.raises(YamlTextError, match=found) as caught:
        parse_yaml(text, "here")
    assert "here" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-11-30", "2026-11-30"),
        ("1:20", "1:20"),
        ("0x10", 16),
        ("1e3", "1e3"),
        ("1.5", 1.5),
        ("", None),
        ("on", True),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    assert parse_yaml(text, "here") == value


SIGNS = st.text(alphabet=": -[]{},&*!<>|'\"\n\t#%@`?019.eE+_~\\xabnul\x00\x1b\udcfc", max_size=40)
TAGS = st.sampled_from([f"!!{kind} " for kind in ("int", "float", "bool", "null", "set", "omap", "map", "seq")])
WORDS = st.sampled_from(["&a ", "*a ", "<<: ", "? ", "a: ", "- ", "\n", "true ", "0x", ".nan ", "1_000"])


@given(st.lists(SIGNS | TAGS | WORDS, max_size=8).map("".join))
@examples(deadline=None, max_examples=300)
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_yaml(text, "here")
    except YamlTextError as error:
        complaint = str(error)
        assert complaint.isprintable(), complaint
