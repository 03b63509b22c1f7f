"""An ensemble of two tiny classifiers: chosen, written, run, evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge_fer.errors import ConfigError, ModelError
from edge_fer.expression.ensemble import Ensemble
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.manifest import EnsembleSpec
from edge_fer.inference.model_store import MANIFEST, ModelStore
from edge_fer.lab.cli.app import app
from edge_fer.lab.console import SilentReporter
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.evaluation import cached_answers
from edge_fer.lab.evaluation import run as evaluation
from edge_fer.lab.evaluation.ensemble_record import EnsembleRecord
from edge_fer.lab.export.ensemble import Plan, make_ensemble
from edge_fer.lab.files import read_record
from edge_fer.lab.model_folder import update_manifest, write_artefact
from edge_fer.settings import ClassifySettings
from tests.lab.support.tiny import TINY, TINY_CROP, tiny_models, tiny_network
from tests.support.two_inputs import NAME as TWO_INPUTS
from tests.support.two_inputs import two_inputs_store

pytestmark = pytest.mark.lab

OTHER = "other"
FACES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models: a tiny classifier, and `other`, which takes smaller faces; and faces with their labels."""
    folder = tmp_path_factory.mktemp("ensemble")
    store = tiny_models(folder / "members")
    spec = store.spec(TINY, "classify")
    smaller = {"input": spec.input.model_copy(update={"size": 32}), "temperature": 0.5}
    artefact = write_artefact(store.folder, OTHER, tiny_network(1, 32))
    update_manifest(store.folder, {OTHER: spec.model_copy(update={**smaller, **artefact})})
    for card in (spec.card, artefact["card"]):
        (store.folder / card).write_text("A card.\n")
    rng = np.random.default_rng(0)
    votes = np.zeros((FACES + 5, 10), np.uint8)
    votes[np.arange(FACES + 5), np.arange(FACES + 5) % 7] = 10
    usage = [Split.VALIDATION] * FACES + [Split.TEST] * 5
    images = rng.integers(0, 256, (FACES + 5, 48, 48)).astype(np.uint8)
    np.savez(folder / "faces.npz", x=images, votes=votes, usage=usage, fer2013=[255] * (FACES + 5))
    return folder


@pytest.fixture(scope="module")
def plan(folder: Path) -> Plan:
    members = (f"{folder}/members/{TINY}", f"{folder}/members/{OTHER}")
    return Plan(members, folder / "faces.npz", folder / "out", name="both", test=True, threads=1,
                cache=folder / "answers")  # fmt: skip


@pytest.fixture(scope="module")
def record(plan: Plan) -> EnsembleRecord:
    return make_ensemble(plan, SilentReporter())


def test_the_folder_is_whole_and_runs(plan: Plan, record: EnsembleRecord) -> None:
    store = ModelStore(plan.out)
    spec = store.expression_model("both")
    assert isinstance(spec, EnsembleSpec)
    assert {member.name: member.weight for member in spec.members} == {
        member.name: member.weight for member in record.members if member.weight
    }
    assert spec.temperature == record.temperature
    for entry in store.specs.values():
        store.check_card(entry)
        assert all(map(store.read, entry.files))
    with open_expression_model(ClassifySettings(model="both", backend="cpu"), store) as model:
        assert isinstance(model, Ensemble)
        model.classify(model.blank_face)
    assert read_record(plan.out / "both.ensemble.json", EnsembleRecord) == record
    card = (plan.out / "both.md").read_text()
    assert f"{record.validation.ensemble.accuracy.value:.1%}" in card
    assert "by nested folds" in card


def test_the_record_holds_together(record: EnsembleRecord) -> None:
    assert sum(member.weight for member in record.members) == pytest.approx(1)
    assert record.own_faces.value - record.validation.ensemble.accuracy.value == pytest.approx(
        record.optimism, abs=2e-6
    )
    assert record.own_faces.value >= max(one.accuracy.value for one in record.validation.members)
    assert len(record.fold_weights) == 5
    assert record.test is not None
    for split, faces in ((record.validation, FACES), (record.test, 5)):
        assert split.data.faces == faces
        best = split.members[0].accuracy.value
        assert split.over_best.value == pytest.approx(split.ensemble.accuracy.value - best, abs=2e-6)
        assert split.best == record.members[0].name
    assert record.latency.p50_ms >= min(member.latency.p50_ms for member in record.members)


def test_what_members_said_is_read_once(plan: Plan, record: EnsembleRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(cached_answers, "classify_all", fail)
    again = make_ensemble(plan, SilentReporter())
    assert (again.members, again.validation, again.test) == (record.members, record.validation, record.test)
    with pytest.raises(AssertionError, match="read again"):
        make_ensemble(replace(plan, threads=2), SilentReporter())


def test_a_damaged_cache_is_read_again(plan: Plan, record: EnsembleRecord) -> None:
    file = next(plan.cache.glob(f"{TINY}-*.npz"))
    file.write_bytes(file.read_bytes()[:100])
    assert make_ensemble(plan, SilentReporter()).validation == record.validation


def test_it_is_evaluated_as_the_runtime_reads(plan: Plan, record: EnsembleRecord) -> None:
    found = evaluation.run_evaluation(
        evaluation.Plan(plan.out, "both", plan.data, split=Split.TEST, threads=1), SilentReporter()
    )
    assert record.test is not None
    (crops,) = found.modes
    assert crops.model.accuracy == record.test.ensemble.accuracy
    assert crops.model.after.nll == pytest.approx(record.test.ensemble.nll, abs=1e-4)
    assert crops.model.recall_deviation == pytest.approx(record.test.ensemble.recall_deviation, abs=1e-6)
    assert found.model.members == {member.name: member.weight for member in record.members if member.weight}
    assert found.model.sha256 not in {member.sha256 for member in record.members}


def test_members_that_cannot_be_combined_are_one_clear_line(plan: Plan, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="with different names"):
        make_ensemble(replace(plan, members=plan.members[:1] * 2), SilentReporter())
    with pytest.raises(ConfigError, match="another name for the ensemble"):
        make_ensemble(replace(plan, name=TINY), SilentReporter())
    with pytest.raises(ModelError, match=r"there is: .*found `nobody`"):
        make_ensemble(replace(plan, members=(*plan.members, "nobody")), SilentReporter())
    shipped = replace(plan, members=(plan.members[0], "se_resnet50"))
    other = ModelStore(folder / "members").spec(TINY, "classify")
    moved = other.model_copy(update={"crop": other.crop.model_copy(update={"eye_y": 0.5})})
    (tmp_path / MANIFEST).touch()
    (tmp_path / MANIFEST).unlink()
    for name in (other.file, other.card):
        (tmp_path / name).write_bytes((folder / "members" / name).read_bytes())
    update_manifest(tmp_path, {"moved": moved})
    with pytest.raises(ModelError, match=r"cut out alike, found `se_resnet50` .*, and `moved` with .*; leave one out"):
        make_ensemble(replace(shipped, members=("se_resnet50", f"{tmp_path}/moved")), SilentReporter())


def test_the_command_prints_what_it_found(plan: Plan, record: EnsembleRecord, tmp_path: Path) -> None:
    arguments = ["ensemble", "--models", ", ".join(plan.members), "--data", str(plan.data),
                 "--out", str(tmp_path / "out"),
                 "--name", "both", "--cache", str(plan.cache), "--threads", "1"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert f"| **ensemble** | {record.validation.ensemble.accuracy.value:.1%} (" in result.output
    assert "is known" in result.output
    assert f"edge-fer run --models {tmp_path / 'out'} --model both" in result.output
    assert read_record(tmp_path / "out/both.ensemble.json", EnsembleRecord).test is None


def test_another_file_of_the_same_name_is_not_replaced(plan: Plan, record: EnsembleRecord, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    store = ModelStore(plan.out)
    changed = store.spec(TINY, "classify").model_copy(update={"sha256": "0" * 64})
    update_manifest(out, {TINY: changed})
    with pytest.raises(ModelError, match=rf"the file of `{TINY}` or none of that name in .*; choose another --out"):
        make_ensemble(replace(plan, out=out), SilentReporter())
    assert [path.name for path in out.iterdir()] == [MANIFEST]
    assert record.name == "both"


def test_a_member_that_reads_landmarks_brings_the_network_that_finds_them(
    folder: Path, plan: Plan, tmp_path: Path
) -> None:
    (tmp_path / "members").mkdir()
    store = two_inputs_store(tmp_path / "members", crop=TINY_CROP.model_dump())
    for card in {spec.card for spec in store.networks.values()}:
        (store.folder / card).write_text("A card.\n")
    members = (plan.members[0], f"{store.folder}/{TWO_INPUTS}")
    make_ensemble(replace(plan, members=members, out=tmp_path / "out", cache=tmp_path / "answers"), SilentReporter())
    out = ModelStore(tmp_path / "out")
    assert out.spec("points", "landmarks").sha256 == store.spec("points", "landmarks").sha256
    with open_expression_model(ClassifySettings(model="both", backend="cpu"), out) as ensemble:
        assert sum(ensemble.classify(ensemble.blank_face).probabilities) == pytest.approx(1)
