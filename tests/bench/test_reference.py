from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_fer.bench.reference import Row, compare, folder, load, rows, save
from edge_fer.bench.report import ratios_text, to_text
from edge_fer.errors import ConfigError, OutputError
from tests.support.bench_made import LIVE, MEASURED, PREDICTED


def test_what_was_kept_can_be_compared(tmp_path: Path) -> None:
    path = tmp_path / "board.csv"
    save(path, MEASURED)
    kept = load(path)
    assert kept == rows(MEASURED)
    twice = replace(MEASURED, live=replace(LIVE, fps=15.0))
    ratios = {(found.row.source, found.row.figure): found.ratio for found in compare(twice, kept)}
    assert len(ratios) == len(kept)
    assert ratios[("synthetic:1", "live rate")] == 0.5
    assert set(ratios.values()) == {0.5, 1.0}


def test_a_figure_is_compared_with_its_own_board_and_source_only() -> None:
    kept = [
        Row("A Board, 4 cores", "sample", "live rate", "1/s", 10.0),
        Row("B", "synthetic:1", "live rate", "1/s", 9.0),
    ]
    assert compare(MEASURED, kept) == []


def test_nothing_is_compared_with_nothing() -> None:
    (found,) = compare(MEASURED, [Row("A Board, 4 cores", "synthetic:1", "live rate", "1/s", 0.0)])
    assert found.ratio is None
    assert "live rate" in ratios_text([found])


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    save(tmp_path / "a.csv", MEASURED)
    save(tmp_path / "b.csv", replace(MEASURED, board="B"))
    (tmp_path / "notes.txt").write_text("no reference")
    assert {row.board for row in load(tmp_path)} == {"A Board, 4 cores", "B"}


def test_predictions_are_no_reference() -> None:
    assert rows(PREDICTED) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n", r"expected the columns board,source.*found \['a', 'b'\]"),
        (b"board,source,figure,unit,value\nx,sample,rate,1/s,many\n", "could not convert"),
        (b"board,source,figure,unit,value\nx,sample\n", "make one with --save"),
        (b"\xff\xfe\x00", "make one with --save"),
        (b"", "found None"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make one with --save"):
        load(tmp_path / "none.csv")
    with pytest.raises(OutputError, match="choose another place"):
        save(tmp_path / "none" / "x.csv", MEASURED)


def test_the_references_that_came_along_can_be_read() -> None:
    assert folder().is_dir()
    assert all(row.value >= 0 for row in load(folder()))


def test_the_tables_show_everything_that_was_measured() -> None:
    text = to_text(MEASURED)
    for word in (
        "p50 18.0  p95 22.0  p99 30.0 ms",
        "jitter (p99 of |interval - median|) 4.0 ms",
        "30.0 a second of 30.0 captured, 0 dropped",
        "60 % of one core; peak memory 220 MB; temperature: 0:cpu 48 C",
        "warm-up, not counted: 60 readings in 2.1 s, slowest 60 ms",
        "59.1 (57.4-59.1)",
        "245.0 (244.0-247.0)",
        "a face more costs 15.00 ms",
        "14.00 + 1.00 = 15.00 ms (1.00 of it)",
    ):
        assert word in text
    assert "\x1b" not in text
    assert "\x1b" in to_text(MEASURED, terminal=True)
