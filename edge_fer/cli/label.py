"""`edge-fer label`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_fer.cli.complete import complete_model
from edge_fer.cli.libraries import load_opencv
from edge_fer.cli.options import ConfigFile, ModelFolder
from edge_fer.common.text import counted, escaped
from edge_fer.errors import ConfigError, SourceError
from edge_fer.settings import load_settings
from edge_fer.settings.recording_name import parse_segment

_MOST_LIST_BYTES = 1 << 26  # of a list on standard input: a million paths


def label(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Films, folders with all folders in them, patterns such as 'a/**/*.mp4', URLs; `-`: a list on "
            "standard input, one a line.",
            metavar="PATH...",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tables; it is made.", metavar="DIR")],
    config: ConfigFile = None,
    models: ModelFolder = None,
    model: Annotated[
        str | None, typer.Option(help="Classifier; see `edge-fer models list`.", autocompletion=complete_model)
    ] = None,
    table_format: Annotated[
        Literal["parquet", "jsonl"], typer.Option("--format", help="Of the tables: parquet, or jsonl (a line a row).")
    ] = "parquet",
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine; default: one for each processor.", min=1, max=1024)
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="local: this machine's processes; ray: a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="The Ray cluster: auto, HOST:PORT or ray://HOST:PORT.", metavar="ADDRESS")
    ] = None,
    every: Annotated[int, typer.Option(help="Read one frame in so many.", min=1)] = 1,
    fps: Annotated[
        float | None, typer.Option(help="Read so many frames a second at most, by their presentation times.", min=0.001)
    ] = None,
    segment: Annotated[
        str | None,
        typer.Option(help="Cut longer recordings, and read the segments in parallel: 10 min, 1 h.", metavar="TIME"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Leave alone what the same command has read before.")
    ] = True,
) -> None:
    """Read the expressions of recordings into tables: a row for each face in each frame, and for each track.

    A job that was interrupted goes on where it was when it is started again. What cannot be read is listed in
    DIR/failed.csv and stops nothing else; then the exit code is 3. DIR/report.html shows what was found.

    Example: edge-fer label recordings/ --out tables
    """
    segment_s = None if segment is None else _seconds(segment)
    if every > 1 and fps is not None:
        raise ConfigError("expected --every or --fps, found both; choose one")
    if address is not None and engine != "ray":
        raise ConfigError("expected --engine ray beside --address, found --engine local; add it")
    load_opencv()
    # Imported here, so that `--help` does not wait for OpenCV and the interpreter.
    from edge_fer.archive.console import ConsoleShown, print_summary
    from edge_fer.archive.engines import open_engine
    from edge_fer.archive.job import make_job
    from edge_fer.archive.label_archive import label_archive
    from edge_fer.archive.layout import Layout
    from edge_fer.archive.recordings import find_recordings
    from edge_fer.archive.report import write_report

    flags = {"models": str(models) if models else None, "classify.model": model}
    job = make_job(
        load_settings(config, flags=flags), out, form=table_format, every=every, fps=fps, segment_s=segment_s
    )
    found = find_recordings(_listed(paths), job.out)
    if found.left_out:
        kinds = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in found.left_out.most_common(5))
        text = f"left out {counted(found.left_out.total(), 'file')} of other kinds than films, by their names: {kinds}"
        typer.echo(escaped(text), err=True)
    if not found.recordings:
        raise ConfigError("expected at least one recording, found none; name films, or folders with films in them")
    count = workers or len(os.sched_getaffinity(0))
    with ConsoleShown() as shown:
        summary = label_archive(
            job,
            found.recordings,
            lambda: open_engine(engine, workers=count, address=address),
            shown,
            resume=resume,
        )
    layout = Layout.of(job)
    write_report(layout.report, summary, job)
    print_summary(summary)
    if summary.problems:
        raise SourceError(
            f"expected to read {counted(len(found.recordings), 'recording')} to the end, found {len(summary.problems)} "
            f"that could not be; see {layout.failed}"
        )


def _listed(paths: list[str]) -> list[str]:
    """The paths, with the lines of standard input in the place of `-`."""
    if "-" not in paths:
        return paths
    content = sys.stdin.buffer.read(_MOST_LIST_BYTES + 1)
    if len(content) > _MOST_LIST_BYTES:
        raise ConfigError(f"expected a list of at most {_MOST_LIST_BYTES >> 20} MiB on standard input, found more")
    lines = [os.fsdecode(line.rstrip(b"\r")) for line in content.split(b"\n") if line.strip()]
    return [one for path in paths for one in (lines if path == "-" else [path])]


def _seconds(text: str) -> float:
    try:
        segment = parse_segment(text)
    except ValueError:
        segment = None
    if segment is None or segment.seconds is None:
        raise ConfigError(f"expected a time such as 10 min or 1 h for --segment, found {text!a}; choose one")
    return segment.seconds
