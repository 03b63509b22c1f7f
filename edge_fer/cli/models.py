"""`edge-fer models ...`."""

from __future__ import annotations

from pathlib import Path

import typer

from edge_fer.cli.options import ConfigFile, ModelFolder, say
from edge_fer.errors import ModelError
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import load_settings

app = typer.Typer(
    no_args_is_help=True, help="List the networks, and verify their files.\n\nExample: edge-fer models list"
)


@app.command("list")
def list_models(config: ConfigFile = None, models: ModelFolder = None) -> None:
    """List the networks: name, task, number format, file, and accuracy where it was measured.

    Example: edge-fer models list --models my-models
    """
    for name, spec in _store(config, models).specs.items():
        figures = f"  {spec.accuracy.int8:.1%} on {spec.accuracy.dataset}" if spec.accuracy else ""
        say(f"{name:16} {spec.task:9} {spec.quantization:8} {spec.file}{figures}")


@app.command("verify")
def verify_models(config: ConfigFile = None, models: ModelFolder = None) -> None:
    """Compare the file of every network with the hash in the manifest.

    Example: edge-fer models verify
    """
    store = _store(config, models)
    failures = []
    for name, spec in store.specs.items():
        try:
            say(f"{name:16} ok  {len(store.load(name, spec.task)) / 2**20:.1f} MiB")
            if spec.edgetpu is not None:
                say(f"{name:16} ok  {len(store.load_compiled(name, spec.task)) / 2**20:.1f} MiB for the Edge TPU")
        except ModelError as error:
            say(f"{name:16} {error}")
            failures.append(name)
    if failures:
        raise ModelError(f"expected every network to match its hash, found other content in {', '.join(failures)}")


def _store(config: Path | None, models: Path | None) -> ModelStore:
    return ModelStore(load_settings(config, flags={"models": str(models) if models else None}).models)
