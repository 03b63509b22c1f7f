"""`edge-fer run`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from edge_fer.cli.complete import choice_completer, complete_backend, complete_model, source_completer
from edge_fer.cli.libraries import load_opencv
from edge_fer.cli.options import ConfigFile, ModelFolder
from edge_fer.publish import Sink
from edge_fer.publish.stdout import Stdout
from edge_fer.settings import Settings, load_settings


def run(
    config: ConfigFile = None,
    camera: Annotated[
        str | None,
        typer.Option(
            help="Camera index, device path, `picamera2`, picture, video, folder, URL, `-`, `sample` or `synthetic:3`.",
            metavar="SOURCE",
            autocompletion=source_completer(),
        ),
    ] = None,
    clahe: Annotated[
        str | None,
        typer.Option(
            help="Raise local contrast: off, on, or auto (of dark pictures).",
            autocompletion=choice_completer("enhance", "clahe"),
        ),
    ] = None,
    min_face: Annotated[
        int | None, typer.Option(help="Side of the smallest face to find, pixels of the picture that is searched.")
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="Kind of detector: mtcnn, or yolo (one pass); where it runs: `detect.backend`.",
            autocompletion=choice_completer("detect", "kind"),
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="Device: auto, edgetpu, edgetpu:usb:0, edgetpu:pci:0, cpu, remote:HOST:PORT or fake.",
            autocompletion=complete_backend,
        ),
    ] = None,
    models: ModelFolder = None,
    model: Annotated[
        str | None, typer.Option(help="Classifier; see `edge-fer models list`.", autocompletion=complete_model)
    ] = None,
    realtime: Annotated[
        bool | None, typer.Option("--realtime", help="Play a file at its own rate, and drop frames that come late.")
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(
            help="Write the annotated video to this file (.mp4, .mkv), or pictures (.jpg, .png, a folder).",
            metavar="FILE",
        ),
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Output format: json, text, none, or auto (text on a terminal, else JSON lines).",
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
    max_frames: Annotated[
        int | None, typer.Option(help="End after this many readings; a reload starts the count again.", min=1)
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="End after this many seconds; a reload starts the clock again.", min=0)
    ] = None,
) -> None:
    """Read expressions from a camera, stream, video or pictures, until the source ends or Ctrl-C.

    Options take priority over the settings file and the environment.

    Example: edge-fer run --camera 0 --record out.mp4
    """
    flags = {
        "models": str(models) if models else None,
        "capture.source": camera,
        "capture.realtime": realtime,
        "enhance.clahe": clahe,
        "detect.min_face": min_face,
        "detect.kind": detector,
        "classify.backend": backend,
        "classify.model": model,
        "publish.record": f"{record}/" if record and Path(record).is_dir() else record,
        "publish.format": output_format,
        "log.format": log_format,
    }
    load_opencv()
    # Imported here, so that `--help` and `config` do not wait for OpenCV and the interpreter.
    from edge_fer.service import Service
    from edge_fer.status.logs import set_up_logs

    def load() -> Settings:
        return load_settings(config, flags=flags)

    settings = load()
    set_up_logs(settings.log.format)
    open_sinks = partial(stdout_sinks, Stdout())
    raise typer.Exit(Service(settings, load, open_sinks, max_frames=max_frames, duration_s=duration).run())


def stdout_sinks(stdout: Stdout, settings: Settings, is_stopping: Callable[[], bool]) -> list[Sink]:
    """What goes to standard output: readings for a program or a person; without them, status changes to the log.

    Args:
        stdout: standard output.
        settings: the run's settings.
        is_stopping: whether the run shall stop.
    """
    from edge_fer.publish.jsonl import JsonLines
    from edge_fer.publish.text import TextLine
    from edge_fer.status.logs import StatusLog

    stdout.stopping, form = is_stopping, settings.publish.format
    if form == "none":
        return [StatusLog()]
    if form == "text" or (form == "auto" and stdout.is_terminal):
        return [TextLine(stdout.write, in_place=stdout.is_terminal)]
    return [JsonLines(stdout.write)]
