"""`edge-fer serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edge_fer.cli.complete import choice_completer, complete_device, complete_model
from edge_fer.cli.options import ConfigFile, ModelFolder
from edge_fer.cli.run_service import run_service

if TYPE_CHECKING:
    from edge_fer.service import OpenRun


def serve(
    config: ConfigFile = None,
    listen: Annotated[
        str | None,
        typer.Option(help="IP address and port; one that other machines reach needs a token.", metavar="ADDRESS:PORT"),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="Device: auto, edgetpu, edgetpu:usb:0, edgetpu:pci:0, cpu or fake.", autocompletion=complete_device
        ),
    ] = None,
    models: ModelFolder = None,
    model: Annotated[
        str | None,
        typer.Option(help="Classifier or ensemble; see `edge-fer models list`.", autocompletion=complete_model),
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of the statuses on standard output: json, text, none, or auto (text on a terminal, else "
            "JSON lines).",
            autocompletion=choice_completer("publish", "format"),
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            help="Format of the log on standard error: auto, text, journal or json.",
            autocompletion=choice_completer("log", "format"),
        ),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="End after this many seconds; a reload starts the clock again.", min=0)
    ] = None,
) -> None:
    """Read faces for other computers, which name this one as their device: remote:ADDRESS:PORT.

    Options take priority over the settings file and the environment. The token, TLS and the number of clients are
    settings; see `edge-fer config show`, section `serve`.

    Example: edge-fer serve --listen 127.0.0.1:9010 --backend edgetpu
    """
    flags = {
        "models": str(models) if models else None,
        "serve.listen": listen,
        "classify.backend": backend,
        "classify.model": model,
        "publish.format": output_format,
        "log.format": log_format,
    }
    raise typer.Exit(run_service(config, flags, duration_s=duration, open_run=_serve_run))


def _serve_run() -> OpenRun:
    from edge_fer.serve.serve_run import open_serve_run

    return open_serve_run
