"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]
"""ok: fine, or not needed; warn: works, but not as well as it could; fail: does not work."""

LEVELS: tuple[Level, ...] = ("ok", "warn", "fail")
"""All levels, in the order of the exit codes 0, 1 and 2."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    Attributes:
        level: how good it is; see `Level`.
        found: what was found, in one line.
        mend: what to type or do to repair it; None where nothing needs to be done.
        subject: the subject, such as `cameras`; `examine` fills it in.
    """

    level: Level
    found: str
    mend: str | None = None
    subject: str = ""


def ok(found: str) -> Finding:
    """A finding that is fine, or about something that is missing and not needed."""
    return Finding("ok", found)


def warn(found: str, mend: str) -> Finding:
    """A finding about something that works, but not as well as it could."""
    return Finding("warn", found, mend)


def fail(found: str, mend: str) -> Finding:
    """A finding about something that does not work."""
    return Finding("fail", found, mend)
