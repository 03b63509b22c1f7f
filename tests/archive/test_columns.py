"""The tables as docs/archive.md tells of them, and as Parquet does."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import parquet

from edge_fer.archive.columns import TABLES
from edge_fer.archive.tables import write_table
from tests.archive.made import a_job
from tests.support import ROOT


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_documented(table: str) -> None:
    text = (ROOT / "docs/archive.md").read_text().split(f"### {table}\n", 1)[1].split("\n#", 1)[0]
    rows = [
        f"| `{one.name}` | {one.kind}{', may be missing' if one.optional else ''} | {one.unit} | {one.meaning} |"
        for one in TABLES[table]
    ]
    assert [line for line in text.splitlines() if line.startswith("| `")] == rows


def test_a_table_says_what_it_is(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    with (tmp_path / "faces").open("wb") as file:
        write_table(file, "parquet", TABLES["faces"], job.facts).close()
    schema = parquet.read_schema(tmp_path / "faces")
    assert schema.field("yaw").metadata[b"unit"] == b"degrees"
    assert schema.metadata[b"edge_fer.networks"] == b"lite:0"
    assert schema.metadata[b"edge_fer.sampling"] == b"all frames"
