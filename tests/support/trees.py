"""Boxes that are described in `data/trees`, made as files below a folder; see the README there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from edge_fer.doctor.host import Host, Probe
from tests.support import ROOT

TREES = ROOT / "tests" / "data" / "trees"


def lay_out(name: str, root: Path, changes: dict[str, Any] | None = None) -> RecordedHost:
    """Make a box's files.

    Args:
        name: the description's name.
        root: the folder to make them in.
        changes: changes to the description, nested like it; None removes an entry.
    """
    tree = merge(yaml.safe_load((TREES / f"{name}.yaml").read_text()), changes or {})
    for folder, files in tree["files"].items():
        for file, text in files.items():
            write(root / folder / file, f"{text}\n")
    for device in tree.get("devices", {}):
        write(root / device, "")
    for program, script in tree.get("programs", {}).items():
        write_program(root / program, script)
    for link, target in tree.get("links", {}).items():
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)
    return RecordedHost(root, tree)


def merge(tree: Any, changes: Any) -> Any:
    if not isinstance(changes, dict) or not isinstance(tree, dict):
        return changes
    merged = {**tree, **{key: merge(tree.get(key, {}), value) for key, value in changes.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_program(path: Path, script: str) -> Path:
    """Write a shell script that can be run."""
    write(path, f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


class RecordedHost(Host):
    """A host that takes what is in no file from the description."""

    def __init__(self, root: Path, tree: dict[str, Any]) -> None:
        super().__init__(root)
        self.tree, self.facts = tree, tree["host"]
        self.python = tuple(self.facts["python"])
        self.machine, self.user = self.facts["machine"], self.facts["user"]
        self.groups = frozenset(self.facts["groups"])
        self.tried: list[Path | None] = []

    def version(self, package: str) -> str | None:
        return self.facts["packages"].get(package)

    def may_open(self, path: Path) -> bool:
        return self.group_of(path) in self.groups

    def group_of(self, path: Path) -> str:
        return self.tree["devices"][str(path.relative_to(self.root))]

    def free_bytes(self) -> int:
        return int(self.facts["free_gb"] * 10**9)

    def clock_synced(self) -> bool:
        return self.facts["clock_synced"]

    def trial_import(self, modules: list[str]) -> str | None:
        return self.facts.get("import_error")

    def probe_edgetpu(self, library: Path, network: Path | None) -> Probe:
        self.tried.append(network)
        return Probe(**{"version": None, **self.tree["edgetpu"]})
