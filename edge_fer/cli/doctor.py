"""`edge-fer doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.cli.options import ConfigFile, say
from edge_fer.settings import load_settings


def doctor(
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    root: Annotated[Path, typer.Option(help="Folder with the machine's /sys, /proc, /dev and /usr.", hidden=True)] = (
        Path("/")
    ),
) -> None:
    """Examine this machine: cameras, accelerators, libraries, permissions and servers; what is wrong, and what to type.

    Exit code: 0 all is well, 1 something may be wrong, 2 something is wrong.

    Example: edge-fer doctor
    """
    from edge_fer.doctor import examine, exit_code
    from edge_fer.doctor.host import Host
    from edge_fer.doctor.report import to_json, to_text

    findings = examine(Host(root), load_settings(config))
    say(to_json(findings) if as_json else to_text(findings))
    raise typer.Exit(exit_code(findings))
