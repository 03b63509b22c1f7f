"""`edge-fer cameras`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_fer.publish.stdout import Stdout
from edge_fer.settings import load_settings


def cameras(
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (YAML).", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
    dev: Annotated[Path, typer.Option(help="Where the box has its device nodes.", hidden=True)] = Path("/dev"),
) -> None:
    """List the cameras of this box: formats, sizes, rates and controls of each, and how to name it."""
    from edge_fer.capture.listing import list_cameras, to_text

    found = list_cameras(load_settings(config).capture.python, dev)
    Stdout().write((json.dumps(found, indent=2) if as_json else to_text(found)) + "\n")
