"""Options that several commands have, and how they print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.common.text import escaped
from edge_fer.publish.stdout import Stdout

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file (YAML); see `edge-fer config show`.", metavar="FILE")
]
ModelFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of networks with a manifest.yaml; default: those of edge-fer.", metavar="DIR"),
]


def say(text: str) -> None:
    """Print lines to standard output, without control characters that names of files or devices may hold.

    Raises:
        OutputClosed: when its reader has gone.
        OutputError: when it cannot be written.
    """
    Stdout().write(escaped(text) + "\n")
