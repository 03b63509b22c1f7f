"""Figures of agreement, as they are computed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from edge_fer.errors import SourceError
from edge_fer.lab.clips.agreement import compare, kappa
from edge_fer.lab.clips.marks import Marks


def write(folder: Path, marks: dict[str, Marks]) -> Path:
    for name, one in marks.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_bytes(one.line())
    return folder


def test_flags_and_frames_of_two_labellers(tmp_path: Path) -> None:
    anna = {
        "a": Marks(3, 89, 43),
        "b": Marks(5, 50, 20, other=True),
        "x/c": Marks(0, 9, 4, low=True),
        "d": Marks(1, 2, 1),
    }
    ben = {"a": Marks(4, 80, 43), "b": Marks(5, 52, 29, other=True), "x/c": Marks(other=True), "e": Marks(1, 2, 1)}
    found = compare(write(tmp_path / "anna", anna), write(tmp_path / "ben", ben))
    assert (found.clips, found.only) == (3, (1, 1))
    assert found.distances == {"start": 0.5, "peak": 4.5, "end": 5.5}
    assert found.within == {"start": 1.0, "peak": 0.5, "end": 0.5}
    assert found.kappas["non_correlating"] is None
    assert found.same["non_correlating"] == 1.0
    assert found.same["other"] == pytest.approx(2 / 3)
    assert found.kappas["other"] == pytest.approx((2 / 3 - 4 / 9) / (5 / 9))
    assert "other                           0.40     67%" in found.lines()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_kappa_is_cohen_s(answers: list[tuple[bool, bool]]) -> None:
    first, second = zip(*answers, strict=True)
    found = kappa(answers)
    if found is None:
        assert first == second
        assert len(set(first)) == 1
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second))


def test_others_marks_and_other_texts_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, {"a": Marks(1, 2, 1), "marks/ben/a": Marks(1, 9, 1)})
    (tmp_path / "notes.txt").write_text("to do")
    found = compare(tmp_path, tmp_path / "marks" / "ben")
    assert found.clips == 1
    assert found.distances["end"] == 7
    assert "notes.txt" in found.unread[0]
    with pytest.raises(SourceError, match="expected clips with marks in both"):
        compare(tmp_path, write(tmp_path / "marks" / "eva", {"z": Marks(1, 2, 1)}))
    with pytest.raises(SourceError, match="expected a folder of marks"):
        compare(tmp_path, tmp_path / "none")
