from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_fer.errors import ModelError
from edge_fer.inference.model_store import MANIFEST, ModelStore, packaged_folder

CONTENT = b"a network"


@pytest.fixture
def entry() -> dict[str, Any]:
    return {
        "task": "refine",
        "file": "net.tflite",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "input": {"size": 24, "colour": "rgb", "mean": 0.5, "std": 0.5},
        "quantization": "float32",
        "source": "made for this test",
        "licence": "MIT",
        "card": "net.md",
    }


def write(folder: Path, entry: dict[str, Any]) -> Path:
    (folder / "net.tflite").write_bytes(CONTENT)
    (folder / MANIFEST).write_text(yaml.safe_dump({"schema": "edge-fer/models/1", "models": {"net": entry}}))
    return folder


def test_a_model_is_loaded_by_name_and_task(tmp_path: Path, entry: dict[str, Any]) -> None:
    store = ModelStore(write(tmp_path, entry))
    assert store.load("net", "refine") == CONTENT
    assert store.spec("net", "refine").input.size == 24


def test_an_unknown_name_or_task_lists_what_there_is(tmp_path: Path, entry: dict[str, Any]) -> None:
    store = ModelStore(write(tmp_path, entry))
    with pytest.raises(ModelError, match=r"there is: net\), found `nett`"):
        store.load("nett", "refine")
    with pytest.raises(ModelError, match="expected a model for `classify`"):
        store.spec("net", "classify")


@pytest.mark.parametrize("content", [b"a networK", b"a net", b""])
def test_a_corrupt_or_truncated_model_is_refused(tmp_path: Path, entry: dict[str, Any], content: bytes) -> None:
    store = ModelStore(write(tmp_path, entry))
    (tmp_path / "net.tflite").write_bytes(content)
    with pytest.raises(ModelError, match=rf"sha256 .*\({len(content)} bytes\)"):
        store.load("net", "refine")


def test_a_missing_model_is_named(tmp_path: Path, entry: dict[str, Any]) -> None:
    store = ModelStore(write(tmp_path, entry))
    (tmp_path / "net.tflite").unlink()
    with pytest.raises(ModelError, match=r"net\.tflite, found: No such file"):
        store.load("net", "refine")


def test_what_came_along_is_whole(tmp_path: Path) -> None:
    store = ModelStore()
    for name, spec in store.specs.items():
        assert all(map(store.read, spec.files)), name
        assert (store.folder / spec.card).is_file(), f"{name} has no card"
    shutil.copytree(packaged_folder(), tmp_path / "copy")
    assert ModelStore(tmp_path / "copy").specs == store.specs


def test_a_manifest_that_is_missing_or_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        ModelStore(tmp_path)
    (tmp_path / MANIFEST).write_text("models: [")
    with pytest.raises(ModelError, match="expected YAML in"):
        ModelStore(tmp_path)


def test_a_compiled_network_lies_beside_its_twin_and_is_verified_too(tmp_path: Path, entry: dict[str, Any]) -> None:
    (tmp_path / "net_edgetpu.tflite").write_bytes(b"compiled")
    sha256 = hashlib.sha256(b"compiled").hexdigest()
    entry["edgetpu"] = {"file": "net_edgetpu.tflite", "sha256": sha256, "compiler": "edgetpu_compiler 16.0"}
    store = ModelStore(write(tmp_path, entry))
    assert (store.load("net", "refine"), store.load_compiled("net", "refine")) == (CONTENT, b"compiled")
    (tmp_path / "net_edgetpu.tflite").write_bytes(b"compiled?")
    with pytest.raises(ModelError, match="sha256"):
        store.load_compiled("net", "refine")


def test_a_network_that_was_not_compiled_says_how_to_do_it(tmp_path: Path, entry: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"run deploy/compile_edgetpu\.sh on an x86-64 machine"):
        ModelStore(write(tmp_path, entry)).load_compiled("net", "refine")


def test_a_network_that_cannot_be_compiled_says_what_to_do(tmp_path: Path, entry: dict[str, Any]) -> None:
    (tmp_path / "net.onnx").write_bytes(CONTENT)
    with pytest.raises(ModelError, match=r"an Edge TPU runs no ONNX: make an int8 \.tflite"):
        ModelStore(write(tmp_path, entry | {"file": "net.onnx"})).load_compiled("net", "refine")


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("models:\n  net: {}\n  other: {}\n  net: {}\n", 4, "`net` for the second time; put both together"),
        ("models:\n  net: [1\n", 3, "expected ',' or ']', but got"),
    ],
)
def test_a_manifest_that_is_not_clear_says_where(tmp_path: Path, text: str, line: int, found: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ModelError) as caught:
        ModelStore(tmp_path)
    assert str(caught.value).startswith(f"expected YAML in {tmp_path / MANIFEST}, line {line}, found: {found}")
    assert str(caught.value).endswith("; repair that folder, or name another (--models)")
