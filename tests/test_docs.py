"""The documents: links that lead somewhere, and facts that are the code's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from edge_fer import errors
from edge_fer.schema import (
    FaceReading,
    FrameWeight,
    Pose,
    Reading,
    SinkStatus,
    StageTime,
    Status,
    TrackReading,
    TrackRecord,
)
from edge_fer.types import LABELS
from tests.support import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*.md"), *ROOT.glob("models/*.md")])
CTRL_C = 130
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page: Path) -> Iterator[str]:
    """The relative links of a page."""
    for link in _LINK.findall(_FENCED.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", link):
            yield link


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in plain}


def section(page: str, heading: str) -> str:
    """What stands below a heading of a page in docs/, down to the next heading."""
    text = (ROOT / "docs" / page).read_text()
    return re.split(r"^#", text.split(f"\n{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_column(table: str) -> set[str]:
    """The names in backticks that stand first in the rows of a table."""
    cells = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_linked_from_the_readme_or_from_a_page_that_is() -> None:
    seen, new = set[Path](), {ROOT / "README.md"}
    while new:
        page = new.pop()
        seen.add(page)
        names = (link.partition("#")[0] for link in links(page))
        targets = {(page.parent / name).resolve() for name in names if name.endswith(".md")}
        new |= {target for target in targets - seen if target.exists()}
    assert set(ROOT.glob("docs/*.md")) <= seen


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = re.findall(r"^\| (\d+) \| ", section("troubleshooting.md", "## Exit codes"), re.MULTILINE)
    raised = {value.exit_code for value in vars(errors).values() if isinstance(value, type)}
    assert {int(code) for code in codes} == raised | {CTRL_C}


@pytest.mark.parametrize(
    ("heading", "records"),
    [
        ("## Reading", (Reading, FaceReading)),
        ("### The last pictures together", (TrackReading, FrameWeight)),
        ("### Head pose", (Pose,)),
        ("## Status", (Status, StageTime, SinkStatus)),
        ("## Track", (TrackRecord,)),
    ],
    ids=["reading", "last-pictures", "pose", "status", "track"],
)
def test_every_field_of_a_record_is_documented(heading: str, records: tuple[type, ...]) -> None:
    documented = first_column(section("records.md", heading))
    assert documented >= {field.name for record in records for field in fields(record)}


def test_the_accuracy_of_each_expression_is_what_was_measured() -> None:
    text = section("accuracy.md", "## The shipped network")
    cut_out, found = (
        {entry["label"]: entry for entry in json.loads(path.read_text())["modes"][0]["model"]["per_class"]}
        for path in (ROOT / "models/lite.test.json", ROOT / "models/lite.test_found.json")
    )
    for label in LABELS:
        one, end_to_end = cut_out[label], found[label]["recall"]
        row = f"| {label} | {one['faces']} | {one['recall']:.1%} | {one['precision']:.1%} | {end_to_end:.1%} |"
        assert row.replace("%", " %") in text


def test_every_recipe_is_documented() -> None:
    documented = {name.split()[0] for name in first_column(section("train-your-own.md", "## Other recipes"))}
    assert documented >= {recipe.stem for recipe in (ROOT / "edge_fer/lab/recipes").glob("*.yaml")}


def test_the_readme_names_the_commands_that_ci_calls() -> None:
    text = (ROOT / "README.md").read_text()
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", text))


def test_every_room_has_its_paragraph() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    for room in (ROOT / "edge_fer").glob("*/__init__.py"):
        assert f"| `{room.parent.name}/` |" in text
    for room in (ROOT / "edge_fer/lab").glob("*/__init__.py"):
        assert f"| `lab/{room.parent.name}/` |" in text
