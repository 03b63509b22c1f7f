"""Short, printable messages without secrets, from library errors, file names and URLs."""

from __future__ import annotations

import re

from pydantic import ValidationError


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
        what += f", not {problem['input']!r}"
    return where, what


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the error's type where there is no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


_SECRETS = "pass|pwd|token|key|secret|auth|sig|cred"  # a field whose name contains one of these holds a secret

_HARMLESS = "w|h|width|height|size|res|resolution|fps|rate|channel|camera|stream|subtype|profile|codec|quality|action"


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
    """A printable text in which the user names, passwords and keys of URLs are replaced by `***`.

    A password may hold any character, so everything between a word's first colon and its last @ is taken for one, and
    so is what follows `password=`, `token=` and the like up to the next `&`. Cameras have many names for it: of a query
    everything is hidden that is not known to be harmless.
    """
    hidden = re.sub(r":(/*)\S*@", r":\1***@", printable(text))
    hidden = re.sub(rf"((?:{_SECRETS})[\w-]*=)[^&\s]*", r"\1***", hidden, flags=re.IGNORECASE)
    return re.sub(rf"([?&](?!(?:{_HARMLESS})=)[^=&\s]*=)[^&\s]*", r"\1***", hidden, flags=re.IGNORECASE)
