"""The table of networks: from whatever was measured, newest first, dashes for the rest."""

from __future__ import annotations

import shutil
from itertools import dropwhile, takewhile
from pathlib import Path

import pytest

from edge_fer.errors import SourceError
from edge_fer.inference.model_store import ModelStore, packaged_folder
from edge_fer.lab.cli.table import table as command
from edge_fer.lab.evaluation.ensemble_record import EnsembleMember, EnsembleRecord, EnsembleSplit, Figures
from edge_fer.lab.evaluation.record import Data, Estimate, Evaluation, Latency
from edge_fer.lab.evaluation.tables import recall_deviation
from edge_fer.lab.export.network_table import network_tables, read_records
from edge_fer.lab.files import read_record, write_record

pytestmark = pytest.mark.lab

SHIPPED = packaged_folder()


def rows_of(text: str, heading: str) -> dict[str, list[str]]:
    """The cells of the first table below a heading, by their first."""
    below = dropwhile(lambda line: not line.startswith("|"), text.partition(heading)[2].splitlines())
    lines = takewhile(lambda line: line.startswith("|"), below)
    rows = [[cell.strip("` ") for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows[2:]}


def figures(accuracy: float) -> Figures:
    return Figures(accuracy=Estimate(value=accuracy, low=accuracy - 0.01, high=accuracy + 0.01),
                   balanced_accuracy=0.5, recall_deviation=0.25, nll=0.6)  # fmt: skip


def ensemble_on(data: Data, sha256: str) -> EnsembleRecord:
    difference = Estimate(value=0.01, low=0.002, high=0.018)
    latency = Latency(threads=2, p50_ms=21.5, p95_ms=30)
    split = EnsembleSplit(
        data=data, ensemble=figures(0.85), members=(figures(0.79), figures(0.7)), best="se_resnet50",
        equal=figures(0.77), over_best=difference, over_equal=difference,
    )  # fmt: skip
    members = (
        EnsembleMember(name="se_resnet50", sha256=sha256, weight=0.7, latency=latency),
        EnsembleMember(name="unknown", sha256="0" * 64, weight=0.3, latency=latency),
    )
    return EnsembleRecord(
        date="2026-12-01T00:00:00+00:00", versions={}, machine={"processor": "Abacus"}, name="both", members=members,
        temperature=1.0, abstain_below=0.5, seed=0, own_faces=figures(0.81).accuracy, optimism=0.01, fold_weights=(),
        latency=latency, validation=split,
    )  # fmt: skip


def test_the_shipped_networks_have_their_figures() -> None:
    text = network_tables(read_records([SHIPPED]), [ModelStore()])
    rows = rows_of(text, "### FER+ labels: 3,519 test faces")
    test = read_record(SHIPPED / "se_resnet50.test.json", Evaluation)
    crops = test.mode("crops")
    assert crops is not None
    parameters, size, before, after, balanced, deviation, milliseconds, *predicted = rows["se_resnet50"]
    assert (parameters, size) == ("28.10 M", "28.1")
    assert before == "-", "its float network was not measured on test faces"
    assert after.startswith(f"{crops.model.accuracy.value:.1%} (")
    assert balanced == f"{crops.model.balanced_accuracy:.1%}"
    assert deviation == f"{recall_deviation(crops.model):.1%}"
    assert milliseconds == f"{crops.model.latency.p50_ms:.1f}"
    assert all(float(cell) > 0 for cell in predicted)
    assert rows["lite"][2] == "-", "its float network was not measured on test faces"
    assert rows["VGG13 (Barsoum et al., 2016), published (test)"][2] == "84.99%"
    other = rows_of(text, "### FER2013 labels: 3,509 test faces")
    assert other["lite_fer2013"][:3] == ["-", "-", "-"], "its file is not shipped"
    assert other["ensemble of these four, EmoNet (Kumari), published (test)"][2] == "73.39%"
    assert "1,200" not in text, "a part of a split is no row"


def test_the_deviation_of_recalls_is_that_of_the_table_itself() -> None:
    crops = read_record(SHIPPED / "lite.test.json", Evaluation).mode("crops")
    assert crops is not None
    recalls = [one.recall for one in crops.model.per_class]
    mean = sum(filter(None, recalls)) / 7
    expected = (sum(((recall or 0) - mean) ** 2 for recall in recalls) / 7) ** 0.5
    assert recall_deviation(crops.model) == pytest.approx(expected, abs=1e-6)


def test_an_ensemble_stands_among_the_networks_and_beside_its_members(tmp_path: Path) -> None:
    validation = read_record(SHIPPED / "se_resnet50.validation.json", Evaluation)
    write_record(tmp_path / "deep/both.ensemble.json", ensemble_on(validation.data, validation.model.sha256))
    for name in ("se_resnet50.validation.json", "se_resnet50.export.json"):
        shutil.copy(SHIPPED / name, tmp_path)
    (tmp_path / "notes.json").write_text("[1]")
    (tmp_path / "log.json").write_text("no JSON")
    text = network_tables(read_records([tmp_path]), [ModelStore()])
    rows = rows_of(text, "### FER+ labels: 3,529 validation faces")
    assert [*rows][:3] == ["both", "se_resnet50", "unknown"]
    assert rows["both"] == ["-", "-", "-", "85.0% (84.0% to 86.0%)", "50.0%", "25.0%", "21.5", "-", "-", "-"]
    assert rows["se_resnet50"][0] == "28.10 M"
    assert rows["se_resnet50"][2].startswith("80."), "float32 from the export"
    assert rows["se_resnet50"][3].startswith("79.0%"), "the ensemble's record is newer"
    assert "by nested folds" in text
    assert "+1.00 (+0.20 to +1.80) points" in text.partition("### The ensemble `both`")[2]


def test_an_evaluation_of_an_ensemble_on_its_own_faces_is_no_row() -> None:
    records = read_records([SHIPPED / "lite.validation.json"])
    own = records.evaluations[0]
    records.evaluations.append(own.model_copy(update={"model": own.model.model_copy(
        update={"name": "both", "members": {"lite": 1.0}})}))  # fmt: skip
    assert "`both`" not in network_tables(records, [])


def test_what_is_no_record_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"schema": "else/1"}')
    with pytest.raises(SourceError, match=r"expected a record \(edge-fer/evaluation/1, .*other\.json, found none"):
        read_records([tmp_path / "other.json"])
    with pytest.raises(SourceError, match="found: No such file"):
        read_records([tmp_path / "missing.json"])
    with pytest.raises(SourceError, match="expected evaluations of all faces of a split, found none"):
        network_tables(read_records([tmp_path]), [])
    (tmp_path / "broken.json").write_text('{"schema": "edge-fer/evaluation/1"}')
    with pytest.raises(SourceError, match=r"broken\.json, found at"):
        read_records([tmp_path])


def test_it_is_written_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- networks: begin -->\nold\n<!-- networks: end -->\nafter\n")
    records = [SHIPPED / "lite.validation.json"]
    command(records, into=page)
    once = page.read_text()
    command(records, into=page)
    assert page.read_text() == once
    assert once.startswith("before\n<!-- networks: begin -->\n\n### FER+ labels")
    assert once.endswith("\n<!-- networks: end -->\nafter\n")
    assert "old" not in once
    page.write_text("no marks")
    with pytest.raises(SourceError, match="expected the lines `<!-- networks: begin -->`"):
        command(records, into=page)
    with pytest.raises(SourceError, match="No such file"):
        command(records, into=tmp_path / "nowhere.md")


def test_without_a_page_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    command([SHIPPED / "lite.validation.json"])
    assert capsys.readouterr().out.startswith("### FER+ labels: 3,529 validation faces")
