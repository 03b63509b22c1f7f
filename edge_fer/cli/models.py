"""`edge-fer models ...`."""

from __future__ import annotations

from pathlib import Path

from edge_fer.cli.options import ConfigFile, ModelFolder, say
from edge_fer.common.command_line import App
from edge_fer.errors import BackendError, ModelError
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import load_settings

app = App(no_args_is_help=True, help="List the networks, and verify their files.\n\nExample: edge-fer models list")


@app.command("list")
def list_models(config: ConfigFile = None, models: ModelFolder = None) -> None:
    """List the networks: name, task, number format, file, and accuracy where it was measured.

    Example: edge-fer models list --models my-models
    """
    for name, spec in _store(config, models).specs.items():
        say(f"{name:16} {spec.task:9} {spec.summary}")


@app.command("verify")
def verify_models(config: ConfigFile = None, models: ModelFolder = None) -> None:
    """Compare the file of every network with the hash in the manifest, and what reads or finds faces with its entry.

    Each of these is opened on the processor and reads two test pictures; each ensemble is opened with its members.

    Example: edge-fer models verify
    """
    from edge_fer.expression.verify import verify_expression_model
    from edge_fer.faces.detectors.yolov3_tiny.verify import verify_detector

    store = _store(config, models)
    failures = []
    for name, spec in store.specs.items():
        try:
            sizes = [f"{len(store.read(file)) / 2**20:.1f} MiB {file.file}" for file in spec.files]
            store.check_card(spec)
            if name in store.expression_models:
                verify_expression_model(store, name)
            elif spec.task == "detect":
                verify_detector(store, name)
            say(f"{name:16} ok  {', '.join(sizes) or spec.summary}")
        except (ModelError, BackendError) as error:
            say(f"{name:16} {error}")
            failures.append(name)
    if failures:
        raise ModelError(f"expected every network to be what the manifest says, found others: {', '.join(failures)}")


def _store(config: Path | None, models: Path | None) -> ModelStore:
    return ModelStore(load_settings(config, flags={"models": str(models) if models else None}).models)
