"""One line for a person out of a library's long complaint."""

from __future__ import annotations

from pydantic import ValidationError


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Where the first problem is, and what it is.

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
    """The first line of a message, or the error's name where there is none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
