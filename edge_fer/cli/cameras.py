"""`edge-fer cameras`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_fer.cli.options import ConfigFile, say
from edge_fer.settings import load_settings


def cameras(
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
    dev: Annotated[Path, typer.Option(help="Folder of the device nodes.", hidden=True)] = Path("/dev"),
) -> None:
    """List the cameras of this machine: the name for --camera, formats, sizes, frame rates and controls.

    Example: edge-fer cameras
    """
    from edge_fer.capture.listing import list_cameras, to_text

    found = list_cameras(load_settings(config).capture.python, dev)
    say(json.dumps(found, indent=2) if as_json else to_text(found))
