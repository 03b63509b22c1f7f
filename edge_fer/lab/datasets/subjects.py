"""Who is seen in which clip: a network must not be tested on the persons that it was trained on."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import reading

SUBJECTS = "subjects.csv"
"""Who is seen in which clip: a table with the columns `clip` and `person`."""


def person_in_name(clip: str) -> str:
    """Who is seen in a clip, by its name: what stands before the first underscore."""
    return clip.partition("_")[0]


def read_subjects(path: Path) -> dict[str, str]:
    """Who is seen in which clip.

    Args:
        path: a table (CSV) with the columns `clip` and `person`.

    Raises:
        SourceError: when it cannot be read, or has other columns.
    """
    with reading(path, "a table with the columns clip and person"), path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        if not {"clip", "person"} <= set(table.fieldnames or ()):
            raise SourceError(f"expected the columns clip and person in {path}, found {table.fieldnames}; name them so")
        return {row["clip"]: row["person"] for row in table if row["clip"] and row["person"]}


def person_finder(path: Path) -> Callable[[str], str]:
    """What tells who is seen in a clip, by its name: the table at this path, or where there is none, the name itself.

    Raises:
        SourceError: when the table cannot be read; what it returns raises it for a clip that the table lacks.
    """
    if not path.is_file():
        return person_in_name
    table = read_subjects(path)

    def find(clip: str) -> str:
        if clip not in table:
            raise SourceError(f"expected the clip {clip} in {path}, found it missing; add who is seen in it")
        return table[clip]

    return find
