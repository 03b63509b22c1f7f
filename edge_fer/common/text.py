"""Short, printable messages without secrets, from library errors, file names and URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from edge_fer.common.secrets import hide_secrets

_LONGEST_VALUE, _LONGEST_PROBLEM = 80, 400  # characters in a message


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Where the first problem is, and what it is.

    Args:
        error: pydantic's error.

    Returns:
        A dotted path such as `detect.min_face`, and a sentence with the value that was found.
    """
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the top level"
    what = problem["msg"].removeprefix("Value error, ")
    what = "expected names and values" if problem["type"] == "model_type" else what[0].lower() + what[1:]
    if problem["type"] not in {"missing", "value_error"}:
        what += f", not {shown(problem['input'])}"
    return where, cut(redact(what), _LONGEST_PROBLEM)


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the error's type where there is no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """So many things, such as `1 face` or `1,204 faces`.

    Args:
        number: how many there are.
        noun: what one is called.
        plural: what others are called; None: the noun with an `s`.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def escaped(text: str) -> str:
    """A text that a terminal shows and does not obey, and that can be encoded as UTF-8.

    File names may hold any bytes: control characters, and bytes that are no UTF-8, are written as escapes. Line feeds
    and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def printable(text: str) -> str:
    """A text on one line, escaped; see `escaped`."""
    return escaped(" ".join(text.split()))


def redact(text: str) -> str:
    """A printable text in which the user names, passwords and keys of URLs are replaced by `***`."""
    return hide_secrets(printable(text))


def shown(value: Any, longest: int = _LONGEST_VALUE) -> str:
    """A value of a setting as messages show it: without secrets, cut where it is long; of several, only what they are.

    Args:
        value: the value as it was found.
        longest: most characters of it that are shown.
    """
    if isinstance(value, Mapping):
        return "names and values"
    if isinstance(value, (list, tuple, set)) and any(isinstance(item, (str, Mapping)) for item in value):
        return "a list"
    return cut(redact(repr(value)), longest)


def cut(text: str, longest: int) -> str:
    """A text that is at most so long; of a longer one the middle is left out.

    Args:
        text: the text.
        longest: most characters of it.
    """
    half = (longest - 5) // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"
