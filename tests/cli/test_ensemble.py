"""An ensemble on the command line: listed, verified, checked, run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from edge_fer.inference.model_store import MANIFEST, packaged_folder
from tests.cli.test_cli import edge_fer_cli, failed_with

ENTRY = {
    "task": "ensemble", "members": [{"name": "lite", "weight": 0.5}, {"name": "se_resnet50", "weight": 0.5}],
    "source": "a test", "licence": "none", "card": "lite.md",
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for file in packaged_folder().iterdir():
        (folder / file.name).symlink_to(file)
    content = yaml.safe_load((packaged_folder() / MANIFEST).read_text())
    content["models"]["both"] = ENTRY
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.slow
def test_it_is_listed_verified_and_seen_by_doctor(models: Path) -> None:
    listed = edge_fer_cli("models", "list", "--models", str(models)).stdout
    assert re.search(r"^both +ensemble +0\.50 lite, 0\.50 se_resnet50$", listed, re.MULTILINE)
    verified = edge_fer_cli("models", "verify", "--models", str(models))
    assert verified.returncode == 0
    assert re.search(r"^both +ok  0\.50 lite, 0\.50 se_resnet50$", verified.stdout, re.MULTILINE)
    found = edge_fer_cli("doctor", EDGE_FER_MODELS=str(models), EDGE_FER_CLASSIFY__MODEL="both").stdout
    assert re.search(r"^ok +models ", found, re.MULTILINE)


@pytest.mark.slow
def test_it_runs(models: Path) -> None:
    run = edge_fer_cli(
        "run", "--camera", "sample", "--models", str(models), "--model", "both", "--max-frames", "5", "--format", "json"
    )
    assert run.returncode == 0, run.stderr
    readings = [json.loads(line) for line in run.stdout.splitlines() if '"edge-fer/reading/1"' in line]
    assert {(reading["model"], reading["backend"]) for reading in readings} == {("both", "cpu")}
    assert sum(len(reading["faces"]) for reading in readings) > 0


@pytest.mark.slow
def test_a_model_that_is_not_there_names_ensembles_too(models: Path) -> None:
    run = edge_fer_cli("run", "--camera", "nowhere.mp4", "--models", str(models), "--model", "bth")
    failed_with(run, 4, "expected a model that reads expressions (there is: both, ", "lite", ", found `bth`")
