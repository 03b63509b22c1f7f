"""The examples, run as a user runs them."""

from __future__ import annotations

import ast
import csv
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import LABELS
from tests.support import ROOT
from tests.support.brokers import Broker, Reader, closing_all, need_mosquitto
from tests.support.records import make_face_reading, make_reading
from tests.support.waiting import wait_until

EXAMPLES = ROOT / "examples"
PUBLIC = {"edge_fer", "edge_fer.errors", "edge_fer.schema", "edge_fer.types"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_uses_the_public_modules_alone(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {module for module in modules if module.partition(".")[0] == "edge_fer"} <= PUBLIC


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=60, check=True
    )


@pytest.mark.slow
def test_a_bridge_tells_a_broker_what_changes(tmp_path: Path) -> None:
    need_mosquitto()
    broker = Broker(tmp_path)
    reader = Reader(broker.port, "robot/#", tmp_path)
    with closing_all(broker, reader):
        command = [sys.executable, EXAMPLES / "mqtt_bridge.py", "--port", str(broker.port)]
        with subprocess.Popen(command) as example:
            wait_until(lambda: reader.payloads("robot/faces/1"), seconds=30.0)
            example.terminate()
        told = json.loads(reader.payloads("robot/faces/1")[0])
    assert told["label"] in LABELS
    assert told["at"].endswith("Z")


def test_a_bridge_tells_changes_only() -> None:
    changes = load("mqtt_bridge").Changes()
    happy = make_face_reading("happiness")
    assert changes.new(make_reading(faces=(happy,))) == {7: "happiness"}
    assert changes.new(make_reading(faces=(happy,))) == {}
    assert changes.new(make_reading(faces=(make_face_reading("neutral"),))) == {7: "neutral"}
    assert changes.new(make_reading()) == {7: None}
    assert changes.new(make_reading()) == {}


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_folder_becomes_a_table(tmp_path: Path) -> None:
    scene = crowd_scene(seed=3, faces=2, frames=1).render(0)
    (tmp_path / os.fsdecode(b"\xff.bmp")).write_bytes(cv2.imencode(".bmp", scene)[1].tobytes())
    cv2.imwrite(str(tmp_path / "two.png"), scene)
    whole = cv2.imencode(".jpg", scene)[1].tobytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    ended = run("folder.py", str(tmp_path))
    rows = list(csv.DictReader(ended.stdout.splitlines()))
    assert [row["picture"] for row in rows] == ["two.png", "two.png", "\\xff.bmp", "\\xff.bmp"]
    assert all(abs(sum(float(row[label]) for label in LABELS) - 1) < 0.01 for row in rows)
    assert "cut.jpg, found" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_smile_counts_once_when_it_has_lasted() -> None:
    smiles = load("smile").Smiles()

    def at(seconds: float, label: str | None) -> list[int]:
        return smiles.new(make_reading(faces=(make_face_reading(label),), captured_ns=round(seconds * 1e9)))

    assert [at(t, "happiness") for t in (1.0, 1.4, 1.5, 1.6)] == [[], [], [7], []]
    assert [at(2.0, "neutral"), at(2.1, "happiness"), at(2.5, "happiness"), at(2.6, "happiness")] == [[], [], [], [7]]
    unsure = replace(make_face_reading("happiness"), confidence=0.5)
    assert smiles.new(make_reading(faces=(unsure,), captured_ns=10**10)) == []


@pytest.mark.slow
def test_the_drone_reacts_to_the_smiles_of_the_sample() -> None:
    command = [sys.executable, "-u", EXAMPLES / "smile.py", "--camera", "sample"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as example:
        assert example.stdout is not None
        assert "face 1 smiles: click\n" in example.stdout
        example.terminate()
