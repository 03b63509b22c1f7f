"""How `edge-fer run` and `edge-fer serve` begin and end: settings, the log, standard output, and the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_fer.cli.libraries import load_opencv
from edge_fer.publish import Sink
from edge_fer.publish.stdout import Stdout
from edge_fer.settings import Settings, load_settings

if TYPE_CHECKING:
    from edge_fer.service import OpenRun


def run_service(
    config: Path | None,
    flags: Mapping[str, object],
    max_frames: int | None = None,
    duration_s: float | None = None,
    open_run: Callable[[], OpenRun] | None = None,
) -> int:
    """Run until it ends.

    Args:
        config: the settings file; None: the usual ones.
        flags: settings that the command line gives, by name; None: not given.
        max_frames: end after so many readings.
        duration_s: end after so many seconds.
        open_run: imports and gives what opens the run; None: a camera's.

    Returns:
        The exit code.
    """
    load_opencv()
    # Imported here, so that `--help` and `config` do not wait for OpenCV and the interpreter.
    from edge_fer.service import Service, open_pipeline
    from edge_fer.status.logs import set_up_logs

    def load() -> Settings:
        return load_settings(config, flags=flags)

    opener = open_run() if open_run else open_pipeline
    settings = load()
    set_up_logs(settings.log.format)
    sinks = partial(stdout_sinks, Stdout())
    return Service(settings, load, sinks, max_frames=max_frames, duration_s=duration_s, open_run=opener).run()


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
