"""Writes what a verification of a board found: figures, and what they were found on."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, astuple, fields
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge_fer import __version__
from edge_fer.bench.reference import Row
from edge_fer.common.machine import board, machine
from edge_fer.errors import OutputError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.edgetpu.verify import Findings, Plan

SCHEMA = "edge-fer/board-verification/1"
_INTERPRETERS = ("ai-edge-litert", "tflite-runtime", "numpy")


def write_findings(folder: Path, plan: Plan, store: ModelStore, found: Findings) -> None:
    """Write `verify.csv` and `verify.json`.

    Raises:
        OutputError: when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "verify.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(column.name for column in fields(Row))
            writer.writerows(astuple(row) for row in found.rows)
        (folder / "verify.json").write_text(json.dumps(_facts(plan, store, found), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"expected to write to {folder}, found: {error.strerror}; choose another --out") from error


def _facts(plan: Plan, store: ModelStore, found: Findings) -> dict[str, Any]:
    spec = store.spec(plan.model, "classify")
    return {
        "schema": SCHEMA,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "board": board(),
        "machine": machine(),
        "edge_fer": __version__,
        "packages": {name: _version(name) for name in _INTERPRETERS},
        "plan": asdict(plan),
        "model": {"file": spec.file, "sha256": spec.sha256},
        "compiled": spec.edgetpu.model_dump() if spec.edgetpu is not None else None,
        "failed": found.failed,
        "not_done": found.not_done,
    }


def _version(package: str) -> str | None:
    """Version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
