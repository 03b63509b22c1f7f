"""Writes folders of artefacts and their `manifest.yaml`, which `edge_fer.inference.model_store` reads."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import yaml

from edge_fer.errors import ModelError, OutputError
from edge_fer.inference.manifest import ModelSpec, NetworkEntry
from edge_fer.inference.manifest_parts import EntrySpec, RegionSpec
from edge_fer.inference.model_store import MANIFEST, ModelStore
from edge_fer.lab.files import writing


def write_artefact(folder: Path, name: str, content: bytes) -> dict[str, str]:
    """Write `name`.tflite.

    Returns:
        The fields `file`, `sha256` and `card` of its manifest entry.

    Raises:
        OutputError: when the folder cannot be written.
    """
    file = f"{name}.tflite"
    write_file(folder / file, content)
    return {"file": file, "sha256": hashlib.sha256(content).hexdigest(), "card": f"{name}.md"}


def write_region(folder: Path, name: str, content: bytes) -> RegionSpec:
    """Write `name`_where.tflite, the network that says where a classifier looks.

    Returns:
        The field `region` of the classifier's manifest entry.

    Raises:
        OutputError: when the folder cannot be written.
    """
    artefact = write_artefact(folder, f"{name}_where", content)
    return RegionSpec(file=artefact["file"], sha256=artefact["sha256"])


def write_card(folder: Path, spec: ModelSpec, text: str) -> None:
    """Write a model's card to the file that its manifest entry names.

    Raises:
        OutputError: when the folder cannot be written.
    """
    write_file(folder / spec.card, text.encode())


def write_licence(folder: Path, package: str) -> str:
    """Copy a package's licence text beside the artefacts that were made from its weights.

    Returns:
        The name of the file.

    Raises:
        ModelError: when the package has none.
        OutputError: when the folder cannot be written.
    """
    text = distribution(package).read_text("LICENSE")
    if text is None:
        raise ModelError(f"expected a LICENSE in the package {package}, found none; install the release of the extra")
    name = f"{package}.LICENSE"
    write_file(folder / name, text.encode())
    return name


@contextmanager
def assembling(folder: Path) -> Iterator[Path]:
    """A new folder to write artefacts to, which go into `folder` once all of them are there.

    It holds the manifest of `folder`, so that entries of other models stay.

    Raises:
        ModelError: when the manifest that is there cannot be read.
        OutputError: when the folder cannot be written.
    """
    folder = folder.resolve()
    if (folder / MANIFEST).exists():
        ModelStore(folder)  # read before anything is computed
    with writing(folder):
        partial = tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent)
    with partial as name:
        if (folder / MANIFEST).exists():
            shutil.copy(folder / MANIFEST, name)
        yield Path(name)
        with writing(folder / MANIFEST):
            for new in sorted(Path(name).iterdir(), key=lambda path: path.name == MANIFEST):
                shutil.move(new, folder / new.name)


def copy_entry(store: ModelStore, spec: NetworkEntry, folder: Path) -> NetworkEntry:
    """Copy a network's files and its card into another folder.

    Args:
        store: the folder that it is in.
        spec: its entry there.
        folder: the other folder.

    Returns:
        Its entry in the other folder.

    Raises:
        ModelError: when a file is missing or corrupt.
        OutputError: when the folder cannot be written.
    """
    store.check_card(spec)
    write_file(folder / Path(spec.card).name, (store.folder / spec.card).read_bytes())
    for file in spec.files:
        write_file(folder / Path(file.file).name, store.read(file))
    entry = spec.model_dump()
    for part in (entry, *(entry.get(name) for name in ("edgetpu", "region", "branch"))):
        if part is not None:
            part["file"] = Path(part["file"]).name
    return type(spec).model_validate({**entry, "card": Path(spec.card).name})


def find_entry(file: Path, content: bytes) -> tuple[str, NetworkEntry] | None:
    """Name and entry of a file in the manifest beside it; None where no entry has this very content.

    Raises:
        ModelError: when the manifest cannot be read.
    """
    if not (file.parent / MANIFEST).is_file():
        return None
    digest = hashlib.sha256(content).hexdigest()
    specs = ModelStore(file.parent).networks.items()
    return next(((name, spec) for name, spec in specs if spec.sha256 == digest), None)


def update_manifest(folder: Path, specs: Mapping[str, ModelSpec]) -> None:
    """Put entries into the manifest; those of other models stay as they are.

    Raises:
        ModelError: when the manifest that is there cannot be read.
        OutputError: when the folder cannot be written.
    """
    path = folder / MANIFEST
    known = ModelStore(folder).specs if path.exists() else {}
    entries = {name: _entry(spec) for name, spec in sorted({**known, **specs}.items())}
    content = {"schema": "edge-fer/models/1", "models": entries}
    write_file(path, yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True).encode())


def _entry(spec: ModelSpec) -> dict[str, Any]:
    """An entry for people: what it is for comes first, where it comes from last."""
    content = spec.model_dump(mode="json", exclude_defaults=True)
    about = {name: content.pop(name) for name in EntrySpec.model_fields}
    return {"task": content.pop("task"), **content, **about}


def write_file(path: Path, content: bytes) -> None:
    """Write a file of an artefact, and the folder where there is none.

    Raises:
        OutputError: when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"expected to write {path}, found: {error.strerror}; choose another --out") from error
