"""The networks: whether every file is the one in the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_fer.doctor.finding import Finding, fail, ok
from edge_fer.errors import ModelError
from edge_fer.inference.model_store import ModelStore


def open_store(folder: Path | None) -> tuple[ModelStore | None, tuple[Finding, ...]]:
    """The networks of a folder, or findings about its manifest."""
    try:
        return ModelStore(folder), ()
    except ModelError as error:
        return None, (_broken(error),)


def check_networks(store: ModelStore) -> Iterator[Finding]:
    """Compare every file with its hash."""
    failures = []
    for name, spec in store.specs.items():
        try:
            store.load(name, spec.task)
            if spec.edgetpu is not None:
                store.load_compiled(name, spec.task)
        except ModelError as error:
            failures.append(_broken(error))
    yield from failures or (ok(f"{len(store.specs)} networks match their hashes, in {store.folder}"),)


def _broken(error: ModelError) -> Finding:
    """A finding about a file that cannot be used; the end of the error's message says what to do."""
    found, _, mend = str(error).rpartition("; ")
    return fail(found, mend)
