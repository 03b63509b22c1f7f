"""The networks: whether every file is what the manifest says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_fer.common.text import counted
from edge_fer.doctor.finding import Finding, fail, ok
from edge_fer.errors import BackendError, ModelError
from edge_fer.expression.verify import verify_expression_model
from edge_fer.faces.detectors.yolov3_tiny.verify import verify_detector
from edge_fer.inference.model_store import ModelStore


def open_store(folder: Path | None) -> tuple[ModelStore | None, tuple[Finding, ...]]:
    """The networks of a folder, or findings about its manifest."""
    try:
        return ModelStore(folder), ()
    except ModelError as error:
        return None, (_broken(error),)


def check_networks(store: ModelStore) -> Iterator[Finding]:
    """Compare every file with its hash, and every classifier and detector with its manifest entry."""
    failures = []
    for name, spec in store.specs.items():
        try:
            for file in spec.files:
                store.read(file)
            if name in store.expression_models:
                verify_expression_model(store, name)
            elif spec.task == "detect":
                verify_detector(store, name)
        except (ModelError, BackendError) as error:
            failures.append(_broken(error))
    yield from failures or (ok(f"hashes are right: {counted(len(store.specs), 'network')} in {store.folder}"),)


def _broken(error: ModelError | BackendError) -> Finding:
    """A file that cannot be used; the error's message ends with what to do."""
    found, _, mend = str(error).rpartition("; ")
    return fail(found, mend)
