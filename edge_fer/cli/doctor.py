"""`edge-fer doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_fer.publish.stdout import Stdout
from edge_fer.settings import load_settings


def doctor(
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (YAML).", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    root: Annotated[Path, typer.Option(help="Where /sys, /proc, /dev and /usr of the box lie.", hidden=True)] = Path(
        "/"
    ),
) -> None:
    """Look at this box: what it has, what is wrong, and what to type; exit code 1 for warnings, 2 for failures."""
    from edge_fer.doctor import examine, exit_code
    from edge_fer.doctor.host import Host
    from edge_fer.doctor.report import to_json, to_text

    findings = examine(Host(root), load_settings(config).models)
    Stdout().write((to_json(findings) if as_json else to_text(findings)) + "\n")
    raise typer.Exit(exit_code(findings))
