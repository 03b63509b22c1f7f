"""What a check hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]
"""Fine or not needed; works, but not as it could; does not work."""

LEVELS: tuple[Level, ...] = ("ok", "warn", "fail")
"""In the order of the exit codes 0, 1 and 2."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: see `Level`.
        found: one line.
        mend: what to type or do; null where nothing needs mending.
        subject: what it belongs to, such as `cameras`; `examine` fills it in.
    """

    level: Level
    found: str
    mend: str | None = None
    subject: str = ""


def ok(found: str) -> Finding:
    """Fine, or missing and not needed."""
    return Finding("ok", found)


def warn(found: str, mend: str) -> Finding:
    """Works, but not as it could."""
    return Finding("warn", found, mend)


def fail(found: str, mend: str) -> Finding:
    """Does not work."""
    return Finding("fail", found, mend)
