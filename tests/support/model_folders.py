"""Folders of networks for tests: the shipped ones, and others beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from edge_fer.inference.model_store import MANIFEST, packaged_folder


def folder_with(folder: Path, name: str, entry: dict[str, Any], content: bytes) -> Path:
    """A folder with the shipped networks and one more.

    Args:
        folder: is made.
        name: the network's name in the manifest.
        entry: its entry; `sha256` is filled in.
        content: of its file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = yaml.safe_load((packaged_folder() / MANIFEST).read_text())
    for shipped in manifest["models"].values():
        shipped |= {part: str(packaged_folder() / shipped[part]) for part in ("file", "card") if part in shipped}
    (folder / entry["file"]).write_bytes(content)
    (folder / entry["card"]).write_text("A network for tests.\n")
    manifest["models"][name] = {**entry, "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(yaml.safe_dump(manifest))
    return folder
