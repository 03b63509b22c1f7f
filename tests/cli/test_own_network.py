"""docs/bring-your-own-network.md, as a reader follows it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_fer.inference.manifest import ClassifierSpec, EnsembleSpec
from edge_fer.inference.manifest_aggregate import AggregateSpec
from edge_fer.inference.manifest_parts import EntrySpec
from tests.cli.test_cli import edge_fer_cli, failed_with
from tests.support import ROOT, onnx_networks
from tests.support.model_folders import folder_with

GUIDE = (ROOT / "docs/bring-your-own-network.md").read_text()
NAME = "my_network"


@pytest.fixture(scope="module")
def entry() -> dict[str, Any]:
    (block,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(block)[NAME]
    return found


@pytest.fixture(scope="module")
def models(entry: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    content = onnx_networks.classifier(8, side=224, features=1280)
    return folder_with(tmp_path_factory.mktemp("models"), NAME, entry, content)


@pytest.mark.slow
def test_the_example_is_listed_and_verified(models: Path) -> None:
    listed = edge_fer_cli("models", "list", "--models", str(models))
    assert re.search(rf"^{NAME} +classify +float32 +my_network\.onnx$", listed.stdout, re.MULTILINE)
    verified = edge_fer_cli("models", "verify", "--models", str(models))
    assert verified.returncode == 0
    assert re.search(rf"^{NAME} +ok ", verified.stdout, re.MULTILINE)


@pytest.mark.slow
def test_an_entry_without_its_card_is_not_verified(models: Path, entry: dict[str, Any], tmp_path: Path) -> None:
    folder = folder_with(tmp_path, NAME, entry, (models / entry["file"]).read_bytes())
    (folder / entry["card"]).unlink()
    verified = edge_fer_cli("models", "verify", "--models", str(folder))
    failed_with(verified, 4, NAME)
    assert re.search(
        rf"^{NAME} +expected the model card .*my_network\.md, found no such", verified.stdout, re.MULTILINE
    )


@pytest.mark.slow
def test_the_example_runs(models: Path) -> None:
    run = edge_fer_cli(
        "run", "--camera", "sample", "--models", str(models), "--model", NAME, "--max-frames", "5", "--format", "json"
    )
    assert run.returncode == 0, run.stderr
    readings = [json.loads(line) for line in run.stdout.splitlines() if '"edge-fer/reading/1"' in line]
    assert len(readings) == 5
    assert {(reading["model"], reading["backend"]) for reading in readings} == {(NAME, "cpu")}
    faces = [face for reading in readings for face in reading["faces"]]
    assert faces
    assert all(sum(face["probabilities"].values()) == pytest.approx(1, abs=0.01) for face in faces)


@pytest.mark.slow
def test_doctor_checks_it(models: Path, entry: dict[str, Any], tmp_path: Path) -> None:
    assert re.search(r"^ok +models ", edge_fer_cli("doctor", EDGE_FER_MODELS=str(models)).stdout, re.MULTILINE)
    wrong = folder_with(tmp_path, NAME, {**entry, "output": "probabilities"}, (models / entry["file"]).read_bytes())
    found = edge_fer_cli("doctor", EDGE_FER_MODELS=str(wrong)).stdout
    assert re.search(r"^fail +models +expected probabilities from `my_network`", found, re.MULTILINE)


@pytest.mark.slow
def test_a_wrong_entry_ends_a_run_before_the_camera_is_opened(entry: dict[str, Any], tmp_path: Path) -> None:
    content = onnx_networks.classifier(7, side=224, features=1280)
    models = folder_with(tmp_path, NAME, entry, content)
    run = edge_fer_cli("run", "--camera", "nowhere.mp4", "--models", str(models), "--model", NAME)
    failed_with(run, 4, "expected `my_network` to give 8 labels")


@pytest.mark.slow
def test_a_softmax_that_is_stated_as_logits_ends_a_run(entry: dict[str, Any], tmp_path: Path) -> None:
    content = onnx_networks.classifier(8, side=224, features=1280, end="Softmax")
    models = folder_with(tmp_path, NAME, entry, content)
    run = edge_fer_cli("run", "--camera", "sample", "--models", str(models), "--model", NAME, "--max-frames", "1")
    failed_with(run, 4, "expected logits from `my_network`")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ensemble", EnsembleSpec), ("my_network_attention", AggregateSpec)],
    ids=["ensemble", "attention"],
)
def test_the_entries_of_the_guide_have_every_field_that_matters(name: str, kind: type[EntrySpec]) -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yml\n(.*?)```", GUIDE, re.DOTALL)]
    (entry,) = [block[name] for block in blocks if name in block]
    kind.model_validate({**entry, **({"sha256": "0" * 64} if "sha256" in entry else {})})
    assert set(entry) == set(kind.model_fields) - {"accuracy"}


def test_every_field_is_explained_and_no_other() -> None:
    table = GUIDE.partition("## Every field")[2].partition("\n## ")[0]
    explained = {name.partition(".")[0] for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
                 for name in re.findall(r"`([\w.]+)`", cell)}  # fmt: skip
    assert explained == set(ClassifierSpec.model_fields)


def test_a_check_of_the_settings_opens_the_network_they_name(entry: dict[str, Any], tmp_path: Path) -> None:
    folder = folder_with(tmp_path, NAME, entry, onnx_networks.classifier(8, side=112, features=1280))
    config = tmp_path / "settings.yaml"
    config.write_text(yaml.safe_dump({"models": str(folder), "classify": {"model": NAME}}))
    failed_with(
        edge_fer_cli("config", "check", "--config", str(config)), 4, "expected `my_network` to take rgb pictures"
    )
